//! The page of a report in a real browser: it asks for nothing, complains of nothing, and can be
//! read in both languages, in both colour schemes, on a narrow screen and by keyboard.

mod cdp;

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::root;
use cdp::Browser;

const CHECKS: &str = include_str!("checks.js");

/// The browser, or a word on stderr that nothing is tested without one.
fn browser(test: &str) -> Option<Browser> {
    let Some(program) = cdp::find() else {
        // Past the capture of the test runner: a skipped test must be seen.
        let _ = writeln!(
            std::io::stderr(),
            "\nSKIPPED {test}: no Chromium on this machine; install it or name it in CHROMIUM"
        );
        return None;
    };
    Some(Browser::start(&program))
}

/// Opens a page and gives its session once everything is loaded.
fn open(browser: &mut Browser, page: &Path, scheme: &str, width: u32) -> String {
    let target = browser.call("", "Target.createTarget", json!({"url": "about:blank"}));
    let target = json!({"targetId": target["targetId"], "flatten": true});
    let session = browser.call("", "Target.attachToTarget", target);
    let session = session["sessionId"].as_str().expect("a session").to_owned();
    browser.events.clear();
    for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
        browser.call(&session, &format!("{domain}.enable"), json!({}));
    }
    let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    browser.call(&session, "Emulation.setEmulatedMedia", scheme);
    let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
    browser.call(&session, "Emulation.setDeviceMetricsOverride", size);
    let url = format!("file://{}", page.display());
    browser.call(&session, "Page.navigate", json!({"url": url}));
    browser.event(&session, "Page.loadEventFired");
    session
}

fn evaluate(browser: &mut Browser, session: &str, expression: &str) -> Value {
    let request = json!({"expression": expression, "returnByValue": true});
    let result = browser.call(session, "Runtime.evaluate", request);
    assert!(result.get("exceptionDetails").is_none(), "{result:#}");
    result["result"]["value"].clone()
}

/// What the console said, and every request besides the page's own.
fn complaints(browser: &Browser, page: &Path) -> Vec<String> {
    let own = format!("file://{}", page.display());
    let told = browser.events.iter().filter_map(|event| {
        let parameters = &event["params"];
        match event["method"].as_str()? {
            "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" => Some(event.to_string()),
            "Log.entryAdded" => Some(parameters["entry"]["text"].to_string()),
            "Network.requestWillBeSent" => {
                let url = parameters["request"]["url"].as_str()?;
                (url != own).then(|| format!("a request for {url}"))
            }
            _ => None,
        }
    });
    told.collect()
}

#[test]
fn a_report_is_read_in_both_languages_and_both_colour_schemes() {
    let Some(mut browser) = browser("browser::a_report_is_read_in_both_languages") else {
        return;
    };
    for (name, word) in [("report.html", "FAIL"), ("report.pt-BR.html", "REPROVADO")] {
        let page = root().join("reports/sample").join(name);
        for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 360)] {
            let session = open(&mut browser, &page, scheme, width);
            let wrong = evaluate(&mut browser, &session, CHECKS);
            assert_eq!(wrong, json!([]), "{name}, {scheme}, {width} wide");
            let verdict = "document.querySelector('.verdict').textContent";
            let verdict = evaluate(&mut browser, &session, verdict);
            assert!(
                verdict.as_str().is_some_and(|text| text.contains(word)),
                "{verdict}"
            );
            assert_eq!(complaints(&browser, &page), Vec::<String>::new(), "{name}");
            keep_screenshot(
                &mut browser,
                &session,
                &format!("{name}-{scheme}-{width}.png"),
            );
        }
    }
}

#[test]
fn a_report_is_reached_by_keyboard_and_told_by_a_screen_reader() {
    let Some(mut browser) = browser("browser::a_report_is_reached_by_keyboard") else {
        return;
    };
    let page = root().join("reports/sample/report.html");
    let session = open(&mut browser, &page, "light", 1280);
    for kind in ["rawKeyDown", "keyUp"] {
        let key = json!({"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9});
        browser.call(&session, "Input.dispatchKeyEvent", key);
    }
    let first = "document.activeElement.className + ' ' + (document.activeElement.getBoundingClientRect().left >= 0)";
    assert_eq!(evaluate(&mut browser, &session, first), "skip true");

    let tree = browser.call(&session, "Accessibility.getFullAXTree", json!({}));
    let nodes = tree["nodes"].as_array().expect("nodes");
    let named = |role: &str| {
        let of_role = nodes.iter().filter(|node| node["role"]["value"] == role);
        let names = of_role.map(|node| node["name"]["value"].as_str().unwrap_or("").to_owned());
        names.collect::<Vec<_>>()
    };
    for (role, least) in [
        ("banner", 1),
        ("navigation", 1),
        ("main", 1),
        ("contentinfo", 1),
    ] {
        assert_eq!(named(role).len(), least, "{role}");
    }
    for (part, least) in [("image", 6), ("region", 8), ("figure", 5), ("table", 3)] {
        let all = named(part);
        assert!(all.len() >= least, "{} of {part}", all.len());
        let is_named = part == "table" || all.iter().all(|name| !name.is_empty());
        assert!(is_named, "a {part} has no name: {all:?}");
    }
}

#[test]
fn the_page_of_earlier_runs_is_read_too() {
    let Some(mut browser) = browser("browser::the_page_of_earlier_runs") else {
        return;
    };
    let page = root().join("reports/sample/history.html");
    let session = open(&mut browser, &page, "dark", 1280);
    let plots = "document.querySelectorAll('svg[role=img]').length";
    let plots = evaluate(&mut browser, &session, plots);
    assert!(plots.as_u64().is_some_and(|n| n >= 5), "{plots} plots");
    assert_eq!(complaints(&browser, &page), Vec::<String>::new());
    keep_screenshot(&mut browser, &session, "history.png");
}

/// A planted fault of each kind is seen, or the checks above prove nothing.
#[test]
fn faults_of_a_page_are_noticed() {
    let Some(mut browser) = browser("browser::faults_of_a_page_are_noticed") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let sample = std::fs::read_to_string(root().join("reports/sample/report.html"));
    let sample = sample.expect("the sample");
    let page = folder.path().join("page.html");
    let faults = [
        ("<main id=\"main\"", "<div id=\"main\"", "0 of main"),
        (
            "<p class=\"verdict\">",
            "<p class=\"verdict\" hidden>",
            "no verdict",
        ),
        (
            "<h2 id=\"why\">",
            "<h2 id=\"checks\">",
            "an id occurs twice",
        ),
        (
            "<h3 id=\"intervals\">",
            "<h5></h5><h4>x</h4><h3 id=\"intervals\">",
            "is followed by h4",
        ),
    ];
    for (from, to, expected) in faults {
        assert!(sample.contains(from), "no {from}");
        std::fs::write(&page, sample.replacen(from, to, 1)).expect("written");
        let session = open(&mut browser, &page, "light", 1280);
        let wrong = evaluate(&mut browser, &session, CHECKS).to_string();
        assert!(wrong.contains(expected), "{expected} was not seen: {wrong}");
    }
    // What got past the escaping is stopped by the page's policy, and told.
    let acts = "<img src=\"http://127.0.0.1:9/x\"><script>document.title='evil'</script></body>";
    std::fs::write(&page, sample.replace("</body>", acts)).expect("written");
    let session = open(&mut browser, &page, "light", 1280);
    let title = evaluate(&mut browser, &session, "document.title");
    assert!(
        title.as_str().is_some_and(|title| title != "evil"),
        "{title}"
    );
    assert!(
        !complaints(&browser, &page).is_empty(),
        "the console told nothing"
    );
}

/// Keeps what the page looks like in the folder named by `VV_EVAL_SCREENSHOTS`, for people.
fn keep_screenshot(browser: &mut Browser, session: &str, name: &str) {
    let Some(folder) = std::env::var_os("VV_EVAL_SCREENSHOTS") else {
        return;
    };
    let request = json!({"format": "png", "captureBeyondViewport": true});
    let shot = browser.call(session, "Page.captureScreenshot", request);
    let bytes = base64(shot["data"].as_str().expect("a picture"));
    std::fs::write(Path::new(&folder).join(name), bytes).expect("written");
}

/// The bytes of a base64 text (RFC 4648, section 4).
fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| *byte != b'=')
        .map(digit)
        .collect();
    let mut out = Vec::new();
    for four in digits.chunks(4) {
        let bits = four.iter().enumerate().fold(0u32, |bits, (i, digit)| {
            bits | u32::from(*digit) << (18 - 6 * i)
        });
        out.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    out
}
