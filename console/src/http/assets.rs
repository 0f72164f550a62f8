//! The page and its files, which are inside the binary. A debug build reads them from the source folder,
//! so that a change needs no build.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use runtime::key_file::digest;
use rust_embed::Embed;

use super::page::{self, FILES, SCRIPT, STYLE_SHEET, STYLES};
use super::problem::Problem;

/// The files of the page.
#[derive(Embed)]
#[folder = "assets/"]
struct Assets;

/// The page; its script shows the view that the path names.
const PAGE: &str = "index.html";

/// The module of the one view that needs no session.
const LOGIN: &str = "views/login.js";

/// The paths of the views with their modules, as `routes.js` has them. A word in braces is one segment of
/// any text.
const VIEWS: [(&str, &str); 11] = [
    ("/", "views/flow.js"),
    ("/flow", "views/flow.js"),
    ("/try", "views/try.js"),
    ("/orders", "views/order.js"),
    ("/orders/{id}", "views/order.js"),
    ("/dead-letters", "views/dead-letters.js"),
    ("/dead-letters/{service}/{id}", "views/dead-letter.js"),
    ("/replay", "views/replay.js"),
    ("/runs", "views/runs.js"),
    ("/runs/{id}", "views/run.js"),
    ("/login", LOGIN),
];

/// The modules that the page names, by the module of its view; [`SCRIPT`] stands for no view. They are found
/// once: in a debug build an import that is added later costs time, and nothing else.
static MODULES: LazyLock<HashMap<&str, Vec<String>>> = LazyLock::new(|| {
    let views = VIEWS.into_iter().map(|(_, module)| module);
    views
        .chain([SCRIPT])
        .map(|view| (view, page::modules(&[SCRIPT, view], text)))
        .collect()
});

/// The path that names the content of all files, below which browsers keep them. Modules name each other by
/// relative paths, so a page never mixes the files of two versions. A debug build has none: its files
/// change while it runs.
static KEPT_FILES: LazyLock<Option<String>> = LazyLock::new(|| {
    if cfg!(debug_assertions) {
        return None;
    }
    Some(folder_of(&sent_files()))
});

/// Returns the name of every file that is sent, with the hash of its content. The style sheet is one of
/// them: what it holds depends on the order of [`STYLES`] too.
fn sent_files() -> BTreeMap<String, [u8; 32]> {
    let names = Assets::iter().map(Cow::into_owned);
    let names = names.chain([STYLE_SHEET.to_owned()]);
    names
        .filter_map(|name| {
            let hash = File::named(&name)?.hash;
            Some((name, hash))
        })
        .collect()
}

/// Returns a path that is another one when a file has another name or another content.
fn folder_of(files: &BTreeMap<String, [u8; 32]>) -> String {
    let mut all: Vec<u8> = Vec::new();
    for (name, hash) in files {
        all.extend(digest(name.as_bytes()));
        all.extend(hash);
    }
    format!("{FILES}{}/", hex::encode(&digest(&all)[..8]))
}

/// For files below [`KEPT_FILES`].
const KEPT: &str = "public, max-age=31536000, immutable";

/// For the page, and for files whose path stays when they change: browsers ask each time, which loopback or
/// a local network answers in a millisecond.
const ASKED_FOR: &str = "no-cache";

/// Answers every path that is no route: a file, the page for the path of a view, or 404. Somebody who
/// opens a wrong path in a browser sees the page, which says so.
pub(super) async fn serve(request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return method_not_allowed();
    }
    let (path, headers) = (request.uri().path(), request.headers());
    let kept = KEPT_FILES
        .as_deref()
        .and_then(|folder| path.strip_prefix(folder));
    if let Some(name) = kept.or_else(|| path.strip_prefix(FILES))
        && let Some(file) = File::named(name)
    {
        let cache = if kept.is_some() { KEPT } else { ASKED_FOR };
        return file.answer(headers, StatusCode::OK, cache);
    }
    let view = VIEWS.into_iter().find(|(view, _)| is_path_of(view, path));
    let status = if view.is_some() {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    match File::page(view.map_or(SCRIPT, |(_, module)| module)) {
        Some(page) if view.is_some() || wants_html(headers) => {
            page.answer(headers, status, ASKED_FOR)
        }
        _ => Problem::not_found("the console has no such path").into_response(),
    }
}

/// A file as it is sent.
struct File {
    bytes: Cow<'static, [u8]>,
    hash: [u8; 32],
    media_type: &'static str,
}

impl File {
    /// Returns the file of this name.
    fn named(name: &str) -> Option<Self> {
        if name == STYLE_SHEET {
            let all: Option<String> = STYLES.into_iter().map(text).collect();
            return Some(Self::made(name, all?));
        }
        let asset = Assets::get(name)?;
        Some(Self {
            hash: asset.metadata.sha256_hash(),
            bytes: asset.data,
            media_type: media_type(name),
        })
    }

    /// Returns the page that shows the view of this module.
    fn page(view: &str) -> Option<Self> {
        let folder = KEPT_FILES.as_deref().unwrap_or(FILES);
        let page = page::page(&text(PAGE)?, MODULES.get(view)?, view != LOGIN, folder);
        Some(Self::made(PAGE, page))
    }

    fn made(name: &str, text: String) -> Self {
        Self {
            hash: digest(text.as_bytes()),
            bytes: Cow::Owned(text.into_bytes()),
            media_type: media_type(name),
        }
    }

    /// Answers with the file, or with 304 when the browser has it.
    fn answer(self, asked: &HeaderMap, status: StatusCode, cache: &'static str) -> Response {
        let tag = format!("\"{}\"", hex::encode(&self.hash[..16]));
        let is_known = status == StatusCode::OK && has_tag(asked, &tag);
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Body::from(self.bytes).into_response();
            *response.status_mut() = status;
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
            response
        };
        let headers = response.headers_mut();
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        response
    }
}

/// Returns the text of a file.
fn text(name: &str) -> Option<String> {
    let asset = Assets::get(name)?;
    String::from_utf8(asset.data.into_owned()).ok()
}

fn method_not_allowed() -> Response {
    let problem = Problem::of(StatusCode::METHOD_NOT_ALLOWED, "this path can only be read");
    ([(ALLOW, "GET, HEAD")], problem).into_response()
}

/// Returns whether `path` is one of the view's, segment by segment.
fn is_path_of(view: &str, path: &str) -> bool {
    let path = match path.strip_suffix('/') {
        Some(path) if !path.is_empty() => path,
        _ => path,
    };
    let (mut wanted, mut given) = (view.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given => {}
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Returns whether the browser has the file, by its `If-None-Match` (compared weakly, RFC 9110, 13.1.2).
fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter();
    let mut tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tags.any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    })
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_has_its_paths_and_no_others() {
        let is_view = |path: &str| VIEWS.iter().any(|(view, _)| is_path_of(view, path));
        for path in [
            "/",
            "/flow",
            "/flow/",
            "/orders/17",
            "/orders/a%2Fb",
            "/dead-letters/processor/3-17",
            "/runs/0198",
        ] {
            assert!(is_view(path), "{path}");
        }
        for path in [
            "",
            "/flows",
            "/flow/x",
            "/orders//",
            "/orders/1/2",
            "/dead-letters/processor",
            "/api",
        ] {
            assert!(!is_view(path), "{path}");
        }
    }

    #[test]
    fn the_page_is_in_the_binary() {
        assert!(Assets::get(PAGE).is_some());
        assert!(Assets::get("../Cargo.toml").is_none());
    }

    #[test]
    fn the_views_have_the_modules_that_the_router_gives_them() {
        let routes = text("routes.js").unwrap();
        for (path, module) in VIEWS.into_iter().filter(|(path, _)| *path != "/") {
            let line = format!("pattern: '{path}',");
            let line = routes.lines().find(|text| text.contains(&line)).unwrap();
            assert!(line.contains(&format!("import('./{module}')")), "{line}");
        }
    }

    #[test]
    fn the_page_names_the_modules_of_its_view_and_of_no_other() {
        let named = |view: &str| &MODULES[view];
        let has = |view: &str, module: &str| named(view).iter().any(|name| name == module);
        for view in VIEWS.map(|(_, module)| module) {
            for module in [SCRIPT, view, "dom.js", "components/view.js"] {
                assert!(has(view, module), "{view}: {module}");
            }
            for module in named(view) {
                assert!(Assets::get(module).is_some(), "{view}: {module}");
            }
        }
        assert!(has("views/flow.js", "flow/map.js") && !has("views/login.js", "flow/map.js"));
        assert!(!has("views/flow.js", "views/try.js"));
        assert!(
            !has("views/flow.js", "flow/charts.js"),
            "the view loads them later"
        );
        assert!(!has(SCRIPT, "components/view.js"));
        let page = File::page(LOGIN).unwrap().bytes.into_owned();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("/views/login.js\">"), "{page}");
        assert!(!page.contains("<!--"), "{page}");
    }

    /// An answer that the script does not take over would be taken over by its question after the sign-in.
    #[test]
    fn the_page_names_the_session_where_the_router_begins_with_it() {
        let routes = text("routes.js").unwrap();
        for view in VIEWS.map(|(_, module)| module).into_iter().chain([SCRIPT]) {
            let page = File::page(view).unwrap().bytes.into_owned();
            let page = String::from_utf8(page).unwrap();
            let import = format!("import('./{view}')");
            let open = routes
                .lines()
                .any(|line| line.contains(&import) && line.contains("open: true"));
            assert_eq!(page.contains("href=\"/api/session\""), !open, "{view}");
        }
    }

    #[test]
    fn every_style_sheet_is_in_the_one_that_the_page_has() {
        let mut sheets: Vec<_> = Assets::iter()
            .filter(|name| name.ends_with(".css"))
            .collect();
        sheets.sort_unstable();
        let mut joined = STYLES.to_vec();
        joined.sort_unstable();
        assert_eq!(sheets, joined);
        let all = File::named(STYLE_SHEET).unwrap();
        assert_eq!(all.media_type, "text/css; charset=utf-8");
        let sizes = STYLES.map(|name| Assets::get(name).unwrap().data.len());
        assert_eq!(all.bytes.len(), sizes.iter().sum::<usize>());
    }

    #[test]
    fn files_are_kept_below_another_path_when_one_of_them_is_sent_otherwise() {
        let files = sent_files();
        let names: Vec<_> = Assets::iter().collect();
        assert_eq!(files.len(), names.len() + 1, "all, and the style sheet");
        let folder = folder_of(&files);
        assert_eq!(folder, folder_of(&sent_files()));
        assert_eq!(folder.len(), "/assets/0123456789abcdef/".len(), "{folder}");

        // The style sheets in another order: none of them has another content.
        let mut others = files.clone();
        others.insert(STYLE_SHEET.to_owned(), [0; 32]);
        assert_ne!(folder_of(&others), folder);
        let mut others = files;
        let script = others.remove(SCRIPT).unwrap();
        others.insert("application.js".to_owned(), script);
        assert_ne!(folder_of(&others), folder);
    }

    #[test]
    fn a_tag_is_compared_weakly() {
        let has = |value: &str| {
            has_tag(
                &HeaderMap::from_iter([(IF_NONE_MATCH, value.parse().unwrap())]),
                "\"ab\"",
            )
        };
        assert!(has("\"ab\"") && has("\"x\", W/\"ab\"") && has("*"));
        assert!(!has("\"abc\"") && !has("ab") && !has("\"\""));
    }

    #[test]
    fn every_file_has_a_media_type() {
        for file in Assets::iter() {
            assert_ne!(media_type(&file), "application/octet-stream", "{file}");
        }
    }
}
