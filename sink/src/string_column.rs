//! Many short texts in one allocation, which is reused from batch to batch.

/// StringColumn by number.
#[derive(Debug, Clone, Default)]
pub struct StringColumn {
    text: String,
    ends: Vec<usize>,
}

impl StringColumn {
    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Appends a text.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text with this number.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&self, number: usize) -> &str {
        let start = match number {
            0 => 0,
            _ => self.ends[number - 1],
        };
        &self.text[start..self.ends[number]]
    }

    /// All, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|number| self.get(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_went_in() {
        let mut texts = StringColumn::default();
        for round in 0..2 {
            texts.clear();
            assert!(texts.is_empty());
            for text in ["a", "", "é", "漢字"] {
                texts.push(text);
            }
            assert_eq!(
                texts.iter().collect::<Vec<_>>(),
                ["a", "", "é", "漢字"],
                "{round}"
            );
        }
    }
}
