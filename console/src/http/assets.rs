//! The page and its files, which are inside the binary. A debug build reads them from the source folder,
//! so that a change needs no build.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use rust_embed::{Embed, EmbeddedFile};

use super::problem::Problem;

/// The files of the page.
#[derive(Embed)]
#[folder = "assets/"]
struct Assets;

/// The page; its script shows the view that the path names.
const PAGE: &str = "index.html";

/// The path below which the files are, so that none has the path of a view.
const FILES: &str = "/assets/";

/// The paths of the views. A word in braces is one segment of any text.
const VIEWS: [&str; 11] = [
    "/",
    "/flow",
    "/try",
    "/orders",
    "/orders/{id}",
    "/dead-letters",
    "/dead-letters/{service}/{id}",
    "/replay",
    "/runs",
    "/runs/{id}",
    "/login",
];

/// Answers every path that is no route: a file, the page for the path of a view, or 404. Somebody who
/// opens a wrong path in a browser sees the page, which says so.
pub(super) async fn serve(request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return method_not_allowed();
    }
    let path = request.uri().path();
    if let Some(file) = path.strip_prefix(FILES)
        && let Some(asset) = Assets::get(file)
    {
        return answer(&asset, file, request.headers(), StatusCode::OK);
    }
    let is_view = VIEWS.iter().any(|view| is_path_of(view, path));
    let status = if is_view {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    match Assets::get(PAGE) {
        Some(page) if is_view || wants_html(request.headers()) => {
            answer(&page, PAGE, request.headers(), status)
        }
        _ => Problem::not_found("the console has no such path").into_response(),
    }
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

/// Answers with a file, or 304 when the browser has it. Browsers ask each time, which loopback or a
/// local network answers in a millisecond, so that a new version is never mixed with an old one.
fn answer(asset: &EmbeddedFile, name: &str, asked: &HeaderMap, status: StatusCode) -> Response {
    let tag = format!("\"{}\"", hex::encode(&asset.metadata.sha256_hash()[..16]));
    let is_known = status == StatusCode::OK && has_tag(asked, &tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Body::from(asset.data.clone()).into_response();
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(media_type(name)));
        response
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
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
        let is_view = |path: &str| VIEWS.iter().any(|view| is_path_of(view, path));
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
