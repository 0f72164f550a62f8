//! Tests of the page's files, and of the protection against other sites.

use super::*;

#[tokio::test]
async fn a_hostile_name_for_the_address_is_refused_everywhere() {
    let console = console(
        Sessions::of_anyone(Role::Operator),
        &["--console-hosts", "console.example.com"],
    );
    for path in ["/", "/api/session", "/api/flow", "/livez", "/assets/app.js"] {
        for host in ["evil.example", "evil.example:9466"] {
            let answer = ask(&console, with(get_path(path), HOST, host)).await;
            answer.assert_problem(421, "misdirected");
            assert!(answer.text.contains("CONSOLE_HOSTS"));
        }
    }
    let mut nameless = get_path("/api/session");
    nameless.headers_mut().remove(HOST);
    ask(&console, nameless)
        .await
        .assert_problem(421, "misdirected");
    let mut two = get_path("/api/session");
    two.headers_mut()
        .append(HOST, "evil.example".parse().unwrap());
    ask(&console, two).await.assert_problem(421, "misdirected");
    for host in ["console.example.com", "127.0.0.1:9466", "[::1]:9466"] {
        let answer = ask(&console, with(get_path("/api/session"), HOST, host)).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_the_api() {
    let console = without_keys(Role::Operator);
    for site in ["cross-site", "same-site"] {
        let read = with(get_path("/api/orders/17"), "sec-fetch-site", site);
        ask(&console, read).await.assert_problem(403, "cross-site");
        let change = with(
            request("DELETE", "/api/session", ""),
            "sec-fetch-site",
            site,
        );
        ask(&console, change)
            .await
            .assert_problem(403, "cross-site");
    }
    let change = with(
        request("DELETE", "/api/session", ""),
        ORIGIN,
        "http://evil.example",
    );
    ask(&console, change)
        .await
        .assert_problem(403, "cross-site");
    let own = with(
        request("DELETE", "/api/session", ""),
        ORIGIN,
        "http://localhost:9466",
    );
    assert_eq!(ask(&console, own).await.status, StatusCode::NO_CONTENT);
    // A link from elsewhere opens the page.
    let link = with(get_path("/orders/17"), "sec-fetch-site", "cross-site");
    assert_eq!(ask(&console, link).await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_is_strict_with_browsers() {
    let console = without_keys(Role::Viewer);
    for (path, status) in [
        ("/", 200),
        ("/api/session", 200),
        ("/api/nothing", 404),
        ("/nothing", 404),
        ("/assets/0123456789abcdef/app.js", 404),
        ("/livez", 200),
        ("/panics", 500),
    ] {
        let answer = ask(&console, get_path(path)).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(policy.contains("require-trusted-types-for 'script'"));
        assert!(
            !policy.contains("unsafe") && !policy.contains("  "),
            "{policy}"
        );
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(
            answer.headers["cross-origin-resource-policy"],
            "same-origin"
        );
        let cache = if path == "/" { "no-cache" } else { "no-store" };
        assert_eq!(answer.headers[CACHE_CONTROL], cache, "{path}");
    }
}

/// The page names the files and the server serves them; this checks that both agree.
#[tokio::test]
async fn every_file_that_the_page_names_is_served() {
    let console = with_keys();
    let page = ask(&console, get_path("/")).await;
    let quoted = page
        .text
        .split('"')
        .filter(|text| text.starts_with("/assets/"));
    let files: Vec<_> = quoted.collect();
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let answer = ask(&console, get_path(file)).await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
        assert_ne!(
            answer.headers[CONTENT_TYPE], "application/octet-stream",
            "{file}"
        );
    }
}

#[tokio::test]
async fn views_are_the_page_and_files_are_cached_by_their_tag() {
    let console = with_keys();
    let page = ask(&console, get_path("/dead-letters/processor/3-17")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.starts_with("<!doctype html>"), "{}", page.text);
    assert_eq!(page.headers[CONTENT_TYPE], "text/html; charset=utf-8");

    let script = ask(&console, get_path("/assets/app.js")).await;
    assert_eq!(
        script.headers[CONTENT_TYPE],
        "text/javascript; charset=utf-8"
    );
    let tag = script.headers[ETAG].to_str().unwrap();
    let again = with(get_path("/assets/app.js"), IF_NONE_MATCH, tag);
    let again = ask(&console, again).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert!(again.text.is_empty());
    assert_eq!(again.headers[ETAG], tag);
    let head = ask(&console, request("HEAD", "/assets/app.js", "")).await;
    assert_eq!(
        (head.status, &head.headers[ETAG]),
        (StatusCode::OK, &script.headers[ETAG])
    );

    for path in [
        "/assets/../Cargo.toml",
        "/assets/",
        "/assets/nothing.js",
        "/nothing",
    ] {
        ask(&console, get_path(path))
            .await
            .assert_problem(404, "not-found");
    }
    let typed = with(get_path("/nothing"), ACCEPT, "text/html,*/*;q=0.8");
    let typed = ask(&console, typed).await;
    assert_eq!(typed.status, StatusCode::NOT_FOUND);
    assert!(
        typed.text.starts_with("<!doctype html>"),
        "the page says so"
    );
}

#[tokio::test]
async fn other_methods_and_paths_are_problems_too() {
    let console = without_keys(Role::Operator);
    let patch = ask(&console, request("PATCH", "/api/session", "{}")).await;
    patch.assert_problem(405, "method-not-allowed");
    assert!(patch.headers.contains_key(ALLOW));
    let post = ask(&console, request("POST", "/flow", "{}")).await;
    post.assert_problem(405, "method-not-allowed");
    let path = ask(&console, get_path("/api/nothing")).await;
    path.assert_problem(404, "not-found");
    ask(&console, get_path("/panics"))
        .await
        .assert_problem(500, "internal");
}
