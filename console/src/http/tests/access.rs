//! Keys, roles and sessions.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_key_is_exchanged_for_a_session_that_ends() {
    let console = with_keys();
    let anonymous = ask(&console, get_path("/api/session")).await;
    anonymous.assert_problem(401, "unauthorized");

    let cookie = sign_in(&console, ANNS).await;
    assert!(cookie.starts_with("checkout-session="), "{cookie}");
    assert!(!cookie.contains(ANNS));
    let mine = || with(get_path("/api/session"), COOKIE, &cookie);
    let session = ask(&console, mine()).await;
    assert_eq!(session.status, StatusCode::OK);
    assert_eq!(session.json()["name"], "ann");
    assert_eq!(session.json()["role"], "operator");
    assert_eq!(
        session.json()["can_place_orders"],
        false,
        "no ingress is set"
    );
    let topics = session.json()["audit_topics"].clone();
    assert_eq!(topics, json!({"processor": null, "sink": null}));
    assert_eq!(session.json()["trace_url"], Value::Null);

    let sign_out = with(request("DELETE", "/api/session", ""), COOKIE, &cookie);
    let ended = ask(&console, sign_out).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_eq!(ended.headers.get_all(SET_COOKIE).iter().count(), 2);
    ask(&console, mine())
        .await
        .assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn over_tls_the_cookie_is_of_this_host_alone() {
    let console = with_keys();
    let body = format!("{{\"key\":\" {ANNS}\\n\"}}");
    let request = request("POST", "/api/session", &body);
    let request = with(request, ORIGIN, "https://localhost:9466");
    let answer = ask(&console, request).await;
    let cookie = answer.headers[SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-checkout="), "{cookie}");
    for attribute in [
        "Secure",
        "HttpOnly",
        "SameSite=Strict",
        "Path=/",
        "Max-Age=43200",
    ] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let others = answer.headers.get_all(SET_COOKIE).iter().skip(1);
    let removed: Vec<_> = others.map(|other| other.to_str().unwrap()).collect();
    assert!(removed[0].starts_with("checkout-session=; Path=/; Max-Age=0"));
    let pair = cookie.split(';').next().unwrap();
    let session = ask(&console, with(get_path("/api/session"), COOKIE, pair)).await;
    assert_eq!(session.json()["name"], "ann");
}

#[tokio::test]
async fn over_tls_a_cookie_that_a_sibling_domain_can_set_is_no_session() {
    let console = with_keys();
    let plain = sign_in(&console, ANNS).await;
    let mine = || with(get_path("/api/session"), COOKIE, &plain);
    assert_eq!(ask(&console, mine()).await.status, StatusCode::OK);
    let on_loopback = with(mine(), "sec-fetch-site", "same-origin");
    assert_eq!(ask(&console, on_loopback).await.status, StatusCode::OK);
    let elsewhere = with(mine(), HOST, "192.0.2.7:9466");
    // As HTTP/2 names the host.
    let mut in_uri = mine();
    in_uri.headers_mut().remove(HOST);
    *in_uri.uri_mut() = "http://192.0.2.7:9466/api/session".parse().unwrap();
    for over_tls in [
        with(mine(), "x-forwarded-proto", "https"),
        with(mine(), ORIGIN, "https://localhost:9466"),
        with(elsewhere, "sec-fetch-site", "same-origin"),
        with(in_uri, "sec-fetch-site", "same-origin"),
        with(mine(), COOKIE, &format!("{plain}; __Host-checkout=old")),
    ] {
        ask(&console, over_tls)
            .await
            .assert_problem(401, "unauthorized");
    }
}

#[tokio::test]
async fn signing_out_and_signing_in_again_end_the_sessions_of_both_cookies() {
    let again = format!("{{\"key\":\"{BOBS}\"}}");
    for (method, body) in [("DELETE", ""), ("POST", again.as_str())] {
        let console = with_keys();
        let plain = sign_in(&console, ANNS).await;
        let key = format!("{{\"key\":\"{ANNS}\"}}");
        let over_tls = with(
            request("POST", "/api/session", &key),
            ORIGIN,
            "https://localhost:9466",
        );
        let answer = ask(&console, over_tls).await;
        let secure = answer.headers[SET_COOKIE].to_str().unwrap();
        let secure = secure.split(';').next().unwrap();
        let has_session = async |cookie: &str| {
            let answer = ask(&console, with(get_path("/api/session"), COOKIE, cookie)).await;
            answer.status == StatusCode::OK
        };
        assert!(has_session(&plain).await && has_session(secure).await);

        let both = format!("{plain}; {secure}");
        let ends = with(request(method, "/api/session", body), COOKIE, &both);
        assert_eq!(ask(&console, ends).await.status, StatusCode::NO_CONTENT);
        assert!(!has_session(&plain).await, "after {method}");
        assert!(!has_session(secure).await, "after {method}");
    }
}

#[tokio::test]
async fn wrong_keys_are_refused_and_then_slowed() {
    let console = with_keys();
    let wrong = || request("POST", "/api/session", "{\"key\":\"ann-0123456789abcdeg\"}");
    let first = ask(&console, wrong()).await;
    first.assert_problem(401, "unknown-key");
    assert!(!first.headers.contains_key(SET_COOKIE));
    // One attempt is refilled every two seconds, so the limit is reached even on a slow machine.
    for _ in 0..10_000 {
        let answer = ask(&console, wrong()).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            answer.assert_problem(429, "too-many-attempts");
            assert!(answer.headers.contains_key(RETRY_AFTER));
            return;
        }
    }
    panic!("10,000 attempts were accepted");
}

#[tokio::test]
async fn a_body_of_another_form_is_refused_and_shows_no_key() {
    let console = with_keys();
    for body in ["", "{", "[]", "{\"key\":7}", "{\"Key\":\"hunter2\"}"] {
        let answer = ask(&console, request("POST", "/api/session", body)).await;
        answer.assert_problem(400, "bad-request");
        assert!(!answer.text.contains("hunter2"));
    }
    let form = with(
        request("POST", "/api/session", "key=hunter2"),
        CONTENT_TYPE,
        "application/x-www-form-urlencoded",
    );
    ask(&console, form)
        .await
        .assert_problem(415, "unsupported-media-type");
    let huge = format!("{{\"key\":\"{}\"}}", "a".repeat(70_000));
    let huge = ask(&console, request("POST", "/api/session", &huge)).await;
    huge.assert_problem(413, "too-large");
}

#[tokio::test]
async fn without_keys_everybody_has_the_role() {
    let console = without_keys(Role::Operator);
    let session = ask(&console, get_path("/api/session")).await.json();
    assert_eq!(session["name"], "anyone");
    assert_eq!(session["signed_in"], false);
    let answer = ask(
        &console,
        request("POST", "/api/session", "{\"key\":\"any\"}"),
    )
    .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(!answer.headers.contains_key(SET_COOKIE));
}

#[tokio::test]
async fn an_operator_may_place_orders_where_there_is_an_ingress() {
    let flags = ["--console-orders-url", "http://127.0.0.1:1"];
    for (role, can) in [(Role::Operator, true), (Role::Viewer, false)] {
        let console = console(Sessions::of_anyone(role), &flags);
        let session = ask(&console, get_path("/api/session")).await.json();
        assert_eq!(session["can_place_orders"], can, "{role:?}");
    }
}

#[tokio::test]
async fn a_page_knows_where_traces_are_shown() {
    let url = "https://jaeger.example.com/trace/{trace_id}";
    let flags = ["--console-trace-url", url];
    let console = console(Sessions::of_anyone(Role::Viewer), &flags);
    let session = ask(&console, get_path("/api/session")).await.json();
    assert_eq!(session["trace_url"], url);
}

#[tokio::test]
async fn a_viewer_looks_and_changes_nothing() {
    let console = with_keys();
    let cookie = sign_in(&console, BOBS).await;
    let flow = ask(&console, with(get_path("/api/flow"), COOKIE, &cookie)).await;
    assert_eq!(flow.status, StatusCode::OK, "{}", flow.text);
    assert!(flow.json()["flow"]["nodes"].is_array());
    let reveal = request(
        "POST",
        "/api/orders/17/reveal",
        "{\"why\":\"a customer asks\"}",
    );
    let reveal = ask(&console, with(reveal, COOKIE, &cookie)).await;
    reveal.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn every_path_of_the_api_wants_a_session() {
    let console = with_keys();
    for path in [
        "/api/session",
        "/api/flow",
        "/api/stream",
        "/api/orders/17",
        "/api/orders/17/path",
        "/api/dead-letters?service=processor",
        "/api/dead-letters/processor/3-17",
        "/api/runs",
    ] {
        let answer = ask(&console, get_path(path)).await;
        assert_eq!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{path}: {}",
            answer.text
        );
    }
    for path in ["/api/orders", "/api/runs", "/api/orders/17/reveal"] {
        let answer = ask(&console, request("POST", path, "{}")).await;
        assert_eq!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{path}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_stream_ends_at_shutdown_and_with_its_session() {
    for ends_by_sign_out in [true, false] {
        let console = with_keys();
        let cookie = sign_in(&console, BOBS).await;
        let app = router(console.clone(), health());
        let stream = with(get_path("/api/stream"), COOKIE, &cookie);
        let response = app.oneshot(stream).await.unwrap();
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        let cache = response.headers()[CACHE_CONTROL].to_str().unwrap();
        assert!(cache.contains("no-transform"), "{cache}");
        let mut body = response.into_body().into_data_stream();
        if ends_by_sign_out {
            let sign_out = with(request("DELETE", "/api/session", ""), COOKIE, &cookie);
            ask(&console, sign_out).await;
        } else {
            console.shutdown.request();
        }
        while let Some(part) = body.next().await {
            part.unwrap();
        }
    }
}
