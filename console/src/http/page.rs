//! What the page's files are made into before they are sent, so that a browser asks for few and for all of
//! them at once: pure.
//!
//! Without a list the browser would learn of each module from the one that imports it, a round trip for
//! each level. The page names the modules of its view; those of the others are loaded after it was shown. It
//! also names the session, which the script would only ask for once all of its modules are there.

/// The path below which the page says that its files are.
pub(super) const FILES: &str = "/assets/";

/// The name of the style sheet that is all of [`STYLES`].
pub(super) const STYLE_SHEET: &str = "styles.css";

/// The style sheets, in the order in which they override each other.
pub(super) const STYLES: [&str; 10] = [
    "app.css",
    "styles/components.css",
    "styles/forms.css",
    "styles/frame.css",
    "styles/flow.css",
    "styles/drawing.css",
    "styles/charts.css",
    "styles/try.css",
    "styles/figures.css",
    "styles/records.css",
];

/// The script of the page.
pub(super) const SCRIPT: &str = "app.js";

/// Stands where the page names what its script needs.
const PLACE: &str = "<!-- modules -->";

/// Lets the browser ask for the session at once. A script's `fetch` takes the answer over when its mode and
/// its credentials are the same: `crossorigin` stands for "cors" and "same-origin", as in `api.js`. Chromium
/// does so; Firefox compares the redirect mode as well and asks once more.
const SESSION: &str = "<link rel=\"preload\" as=\"fetch\" crossorigin href=\"/api/session\">";

/// Returns the page with the names of its modules, with its files below `folder`, and, when its script begins
/// with the session, with that.
pub(super) fn page(template: &str, modules: &[String], session: bool, folder: &str) -> String {
    let session = session.then(|| SESSION.to_owned());
    let modules = modules
        .iter()
        .map(|module| format!("<link rel=\"modulepreload\" href=\"{FILES}{module}\">"));
    let names: Vec<_> = session.into_iter().chain(modules).collect();
    template
        .replace(PLACE, &names.join("\n    "))
        .replace(FILES, folder)
}

/// Returns these modules and all that they import by statements: first those of the first one, so that it can
/// run while the others come, and of each those that are nearer first. What is imported by a call, as the views
/// are, is left out. `source` returns the text of a module.
pub(super) fn modules(entries: &[&str], source: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for entry in entries {
        let mut at = found.len();
        add(&mut found, (*entry).to_owned());
        while let Some(module) = found.get(at).cloned() {
            for path in imports(&source(&module).unwrap_or_default()) {
                add(&mut found, named_by(&module, path));
            }
            at += 1;
        }
    }
    found
}

fn add(modules: &mut Vec<String>, module: String) {
    if !modules.contains(&module) {
        modules.push(module);
    }
}

/// Returns the paths of a module's import statements, which each end their line.
fn imports(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let (statement, path) = line.strip_suffix("';")?.rsplit_once('\'')?;
        let begins = ["import ", "export ", "}"];
        let is_import = begins.iter().any(|begin| statement.starts_with(begin));
        (is_import && (statement == "import " || statement.ends_with(" from "))).then_some(path)
    })
}

/// Returns the file that a module names by a relative path.
fn named_by(module: &str, path: &str) -> String {
    let mut parts: Vec<&str> = module.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(module: &str) -> Option<String> {
        let text = match module {
            "app.js" => {
                "import { a } from './a.js';\nimport {\n  b,\n} from './parts/b.js';\n\
                 const load = () => import('./views/other.js');\n"
            }
            "a.js" => "export { c } from './parts/c.js';\nconst words = 'taken from ';\n",
            "parts/b.js" => "import '../a.js';\nimport { c } from './c.js';\n",
            "views/flow.js" => "import { b } from '../parts/b.js';\n",
            _ => return None,
        };
        Some(text.to_owned())
    }

    #[test]
    fn a_module_is_named_once_after_the_first_that_imports_it_and_before_the_next_entry() {
        assert_eq!(
            modules(&["app.js", "views/flow.js"], source),
            [
                "app.js",
                "a.js",
                "parts/b.js",
                "parts/c.js",
                "views/flow.js"
            ]
        );
        assert_eq!(modules(&["app.js", "app.js"], source).len(), 4);
    }

    #[test]
    fn the_page_names_its_modules_where_its_files_are() {
        let template =
            "<head>\n    <!-- modules -->\n    <script src=\"/assets/app.js\"></script>\n</head>";
        let modules = ["app.js".to_owned(), "parts/b.js".to_owned()];
        assert_eq!(
            page(template, &modules, false, "/assets/0db4/"),
            "<head>\n    <link rel=\"modulepreload\" href=\"/assets/0db4/app.js\">\n    \
             <link rel=\"modulepreload\" href=\"/assets/0db4/parts/b.js\">\n    \
             <script src=\"/assets/0db4/app.js\"></script>\n</head>"
        );
    }

    #[test]
    fn the_session_is_named_before_the_modules() {
        assert_eq!(
            page(PLACE, &["app.js".to_owned()], true, "/assets/0db4/"),
            "<link rel=\"preload\" as=\"fetch\" crossorigin href=\"/api/session\">\n    \
             <link rel=\"modulepreload\" href=\"/assets/0db4/app.js\">"
        );
    }

    #[test]
    fn a_path_is_relative_to_its_module() {
        assert_eq!(named_by("app.js", "./dom.js"), "dom.js");
        assert_eq!(named_by("views/flow.js", "../flow/map.js"), "flow/map.js");
        assert_eq!(named_by("views/flow.js", "./try.js"), "views/try.js");
    }
}
