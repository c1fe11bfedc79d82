//! `vv-eval policy` on files good and bad.

use super::common::{Lab, root};

#[test]
fn a_valid_policy_is_said_to_be_one_and_warned_of() {
    let lab = Lab::new();
    let ran = lab.run(&["policy", "check"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(
        ran.stdout
            .starts_with("gate.toml is valid: mode smoke, 2 required checks")
    );
    assert!(
        ran.stderr
            .contains("warning: `collapse_rate` is not required"),
        "{}",
        ran.stderr
    );
    let ours = root().join("gate.toml");
    let ran = lab.run(&["policy", "check", ours.to_str().unwrap()]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(0), ""),
        "{}",
        ran.all()
    );
}

#[test]
fn a_slip_is_refused_with_file_line_and_suggestion() {
    let lab = Lab::new();
    lab.edit("gate.toml", "launches = 4", "lanches = 4");
    for command in ["check", "explain"] {
        let ran = lab.run(&["policy", command]);
        assert_eq!(ran.code, Some(3), "{}", ran.all());
        assert!(
            ran.stderr
                .contains("`effort.lanches`: unknown key; did you mean `launches`?"),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(lab.run(&["policy", "check", "nowhere.toml"]).code, Some(3));
}

#[test]
fn every_value_is_explained_with_its_origin() {
    let lab = Lab::new();
    let ran = lab.run(&["policy", "explain"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let line = |key: &str| {
        let found = ran.stdout.lines().find(|line| line.starts_with(key));
        found.unwrap_or_else(|| panic!("no {key} in {}", ran.stdout))
    };
    assert!(line("effort.launches ").contains("= 4 "));
    assert!(line("effort.launches ").ends_with("# gate.toml:6"));
    assert!(line("effort.batch ").ends_with("# default"));
    assert!(line("check[0].margin.absolute ").contains("0.05"));
    let promotion = lab.run(&["policy", "explain", "--mode", "promotion"]);
    assert!(
        promotion.stdout.contains("\"guaranteed\""),
        "{}",
        promotion.all()
    );
}

#[test]
fn the_schema_is_the_published_one() {
    let lab = Lab::new();
    let ran = lab.run(&["policy", "explain", "--schema"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let published = std::fs::read_to_string(root().join("schema/gate.v1.json")).unwrap();
    assert_eq!(ran.stdout, published);
}

#[test]
fn waivers_are_listed_and_an_expired_one_is_refused() {
    let lab = Lab::new();
    let waiver = "\n[[slice]]\nname = \"noite\"\n\n[[waiver]]\ncheck = \"object_recall\"\nslice = \
        \"noite\"\nceiling = { absolute = 0.3 }\nexpires = \"2999-12-31\"\nreason = \"new \
        camera\"\napproved_by = \"ana\"\n";
    let path = lab.path("gate.toml");
    let policy = std::fs::read_to_string(&path).unwrap() + waiver;
    std::fs::write(&path, &policy).unwrap();
    let ran = lab.run(&["policy", "check"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let expected = "waiver: object_recall in slice noite may lose up to 30 points until \
        2999-12-31: new camera (approved by ana)\n";
    assert!(ran.stdout.ends_with(expected), "{}", ran.stdout);
    let ran = lab.run(&["policy", "explain"]);
    assert!(ran.stdout.contains("waiver[0].slice"), "{}", ran.stdout);
    std::fs::write(&path, policy.replace("2999-12-31", "2020-12-31")).unwrap();
    let ran = lab.run(&["policy", "check"]);
    assert_eq!(ran.code, Some(3), "{}", ran.all());
    let expected = "gate.toml: `waiver[0].expires`: the waiver expired on 2020-12-31: renew it in \
        review, or remove it";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
}
