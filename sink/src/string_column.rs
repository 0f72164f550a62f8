//! Many short strings in one allocation, which is reused from batch to batch.

/// Strings by number.
#[derive(Debug, Clone, Default)]
pub struct StringColumn {
    text: String,
    ends: Vec<usize>,
}

impl StringColumn {
    /// Removes all strings, and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Appends a string.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// Returns the number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there are no strings.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the string of this number.
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

    /// Returns all strings, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|number| self.get(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_as_they_went_in() {
        let mut column = StringColumn::default();
        for round in 0..2 {
            column.clear();
            assert!(column.is_empty());
            for text in ["a", "", "é", "漢字"] {
                column.push(text);
            }
            assert_eq!(
                column.iter().collect::<Vec<_>>(),
                ["a", "", "é", "漢字"],
                "{round}"
            );
        }
    }
}
