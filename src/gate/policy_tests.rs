use super::*;

const HEAD: &str = "schema_version = 1\nmode = \"smoke\"\n";

#[track_caller]
fn refused(rest: &str, expected: &str) {
    let error = Policy::parse(&format!("{HEAD}{rest}"), "gate.toml").unwrap_err();
    assert_eq!(error.to_string(), expected);
}

fn one_check(body: &str) -> String {
    format!("[[check]]\n{body}\n")
}

#[test]
fn a_short_file_keeps_the_built_in_rules() {
    let found = Policy::parse(HEAD, "gate.toml").unwrap();
    assert_eq!(found.origin, Origin::File("gate.toml".into()));
    assert_eq!(found.digest(), Policy::built_in().digest());
}

#[test]
fn the_built_in_policy_holds() {
    assert_eq!(Policy::built_in().check(), Ok(()));
    assert_eq!(Policy::built_in().n_statistical(), 6);
}

#[test]
fn a_list_of_checks_replaces_the_built_in_one() {
    let text = "[scenes]\nset = \"x\"\nversion = \"1\"\nmin_scenes = 100\n\
        [effort]\nlaunches = 8\n\
        [[check]]\nmetric = \"object_recall\"\nmargin = { absolute = 0.03 }\n\
        [[check]]\nmetric = \"peak_bytes\"\nmargin = { relative = 0.02 }\n\
        [[check]]\nmetric = \"ttft_ms\"\nrequired = false\n";
    let found = Policy::parse(&format!("{HEAD}{text}"), "gate.toml").unwrap();
    assert_eq!(found.checks.len(), 3);
    assert_eq!(found.effort.launches, 8);
    let memory = Margin::Memory {
        relative: 0.02,
        floor_bytes: MEMORY_FLOOR,
    };
    assert_eq!(found.checks[1].margin, Some(memory));
    assert_eq!(found.checks[2].lane, Some(Lane::Natural));
    assert_ne!(found.digest(), Policy::built_in().digest());
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    refused(
        "modus = 1\n",
        "gate.toml:3: `modus`: unknown key; did you mean `mode`?",
    );
    refused(
        "[efort]\n",
        "gate.toml:3: `efort`: unknown key; did you mean `effort`?",
    );
    refused(
        "[effort]\nlaunch = 3\n",
        "gate.toml:4: `effort.launch`: unknown key; did you mean `launches`?",
    );
    refused(
        &one_check("metric = \"valid\"\nrequire = true"),
        "gate.toml:5: `check[0].require`: unknown key; did you mean `required`?",
    );
    refused(
        &one_check("metric = \"object_recall\"\nmargin = { absolut = 1 }"),
        "gate.toml:5: `check[0].margin.absolut`: unknown key; did you mean `absolute`?",
    );
    refused(
        "[scenes]\nteam = 1\n",
        "gate.toml:4: `scenes.team`: unknown key; known here: set, version, digest, lexicon, \
         min_scenes, cluster_by",
    );
}

#[test]
fn wrong_types_and_modes_name_key_and_line() {
    refused(
        "[effort]\nlaunches = \"six\"\n",
        "gate.toml:4: `effort.launches`: invalid type: string \"six\", expected usize",
    );
    let error = Policy::parse("schema_version = 1\nmode = \"fast\"\n", "g").unwrap_err();
    assert_eq!(
        error.to_string(),
        "g:2: `mode`: unknown variant `fast`, expected one of `smoke`, `promotion`, `bootstrap`"
    );
    let error = Policy::parse("mode = \"smoke\"\n", "g").unwrap_err();
    assert!(
        error.to_string().contains("missing field `schema_version`"),
        "{error}"
    );
    let error = Policy::parse("schema_version = 2\nmode = \"smoke\"\n", "g").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("g:1: `schema_version`: version 2"),
        "{error}"
    );
    let error = Policy::parse("a = = 1", "g").unwrap_err();
    assert!(error.to_string().starts_with("g:1: `syntax`: "), "{error}");
}

#[test]
fn an_unknown_metric_is_refused_with_a_suggestion() {
    refused(
        &one_check("metric = \"object_recal\"\nmargin = { absolute = 0.05 }"),
        "gate.toml:4: `check[0].metric`: `object_recal` is not a metric; did you mean \
         `object_recall`?",
    );
}

#[test]
fn margins_must_be_positive_and_finite() {
    for bad in ["0", "0.0", "-0.0", "-0.05", "nan", "inf", "-inf"] {
        let body = format!("metric = \"cpu_ms_per_token\"\nmargin = {{ relative = {bad} }}");
        let error = Policy::parse(&format!("{HEAD}{}", one_check(&body)), "g").unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("g:5: `check[0].margin`: "), "{message}");
        assert!(
            message.ends_with("is not a finite number above 0"),
            "{message}"
        );
    }
}

#[test]
fn margins_must_suit_the_metric() {
    let check = |body: &str, problem: &str| {
        let error = Policy::parse(&format!("{HEAD}{}", one_check(body)), "g").unwrap_err();
        assert_eq!(
            (error.key.as_str(), error.problem.as_str()),
            ("check[0].margin", problem)
        );
    };
    check(
        "metric = \"object_recall\"",
        "is missing; `object_recall` takes { absolute = … }",
    );
    check(
        "metric = \"object_recall\"\nmargin = { relative = 0.1 }",
        "`object_recall` takes { absolute = … }",
    );
    check(
        "metric = \"cpu_ms_per_token\"\nmargin = { absolute = 0.1 }",
        "`cpu_ms_per_token` takes { relative = … }",
    );
    check(
        "metric = \"valid\"\nmargin = { absolute = 0.1 }",
        "`valid` takes no margin",
    );
    check(
        "metric = \"object_recall\"\nmargin = { absolute = 0.1, relative = 0.1 }",
        "is either absolute or relative, not both",
    );
    check(
        "metric = \"object_recall\"\nmargin = {}",
        "needs absolute or relative",
    );
    check(
        "metric = \"object_recall\"\nmargin = { absolute = 1.5 }",
        "1.5 accepts any loss, scores lie between 0 and 1",
    );
    check(
        "metric = \"object_recall\"\nmargin = { absolute = 0.03 }",
        "0.03 needs scenes.min_scenes of at least 99: with fewer, even a candidate that never \
         loses could not be shown to stay within it",
    );
}

#[test]
fn lists_that_demand_nothing_are_refused() {
    refused(
        "check = []\n",
        "gate.toml:3: `check`: the list is empty; leave it out for the built-in checks",
    );
    refused(
        &one_check("metric = \"chrf_pp\"\nrequired = false"),
        "gate.toml:3: `check`: no check is required, so nothing could fail",
    );
}

#[test]
fn duplicates_and_rules_that_do_not_exist_are_refused() {
    refused(
        &one_check("metric = \"valid\"").repeat(2),
        "gate.toml:6: `check[1].metric`: `valid` is checked twice",
    );
    refused(
        &one_check("metric = \"ttft_ms\""),
        "gate.toml:3: `check[0].required`: `ttft_ms` has no decision rule, it can only be \
         watched or given a limit",
    );
    refused(
        &one_check("metric = \"ttft_ms\"\nlane = \"forced\"\nrequired = false"),
        "gate.toml:5: `check[0].lane`: `ttft_ms` is not measured on the forced lane",
    );
}

#[test]
fn efforts_and_rates_that_decide_nothing_are_refused() {
    let key = |rest: &str| {
        Policy::parse(&format!("{HEAD}{rest}"), "g")
            .unwrap_err()
            .key
    };
    assert_eq!(key("[scenes]\nmin_scenes = 59\n"), "scenes.min_scenes");
    assert_eq!(key("[scenes]\ndigest = \"abc\"\n"), "scenes.digest");
    assert_eq!(key("[scenes]\nlexicon = \"abc\"\n"), "scenes.lexicon");
    assert_eq!(key("[effort]\nlaunches = 3\n"), "effort.launches");
    assert_eq!(key("[effort]\nthreads = 0\n"), "effort.threads");
    assert_eq!(
        key("[confidence]\nfalse_pass = 0\n"),
        "confidence.false_pass"
    );
    assert_eq!(
        key("[confidence]\nfalse_fail = nan\n"),
        "confidence.false_fail"
    );
}

#[test]
fn every_new_key_is_read() {
    let text = "schema_version = 1\nmode = \"promotion\"\n\
        [scenes]\ncluster_by = \"camera\"\n\
        [confidence]\nslice_fail = 0.002\nmethod = \"plug-in\"\n\
        [effort]\nlaunches = 12\nlooks = [6, 12]\nshares = [0.25, 0.75]\nbatch = 4\n\
        timed_scenes = 10\nmemory_runs = 5\nworker_memory_bytes = 134217728\n\
        [collapse]\ndrop = 0.3\nsevere = 0.6\nnormal = 0.01\n\
        [[check]]\nmetric = \"fact_ok\"\nmargin = { absolute = 0.05 }\nmethod = \"guaranteed\"\n\
        [[check]]\nmetric = \"valid\"\nlimit = { at_least = 1.0 }\n\
        [[check]]\nmetric = \"load_ms\"\nlimit = { at_most = 500.0 }\n\
        [[slice]]\nname = \"night\"\n\
        [sentinels]\nset = \"sentinelas-pt\"\ndemand = \"kept\"\n\
        exempt = [{ scene = \"s01\", reason = \"under review\" }]\n";
    let found = Policy::parse(text, "g").unwrap();
    assert_eq!(found.scenes.cluster_by, Some(ClusterBy::Camera));
    assert_eq!(found.confidence.method, Method::PlugIn);
    assert_eq!(found.method_of(&found.checks[0]), Method::Guaranteed);
    assert_eq!(found.effort.looks_plan().unwrap().looks().len(), 2);
    assert_eq!((found.effort.batch, found.effort.memory_runs), (4, 5));
    assert_eq!(found.effort.worker_memory_bytes, Some(Bytes(128 << 20)));
    assert!((found.collapse.severe - 0.6).abs() < 1e-12);
    assert_eq!(found.checks[1].limit, Some(Limit::AtLeast(1.0)));
    assert_eq!(found.checks[2].limit, Some(Limit::AtMost(500.0)));
    assert_eq!(found.slices[0].min_scenes, SLICE_SCENES);
    let sentinels = found.sentinels.clone().unwrap();
    assert_eq!(
        (sentinels.demand, sentinels.exempt.len()),
        (Demand::Kept, 1)
    );
    // The policy inside a report is read back as it was.
    let saved = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&saved).unwrap(), found);
}

#[test]
fn a_worker_without_room_for_itself_is_refused() {
    let text = "schema_version = 1\nmode = \"smoke\"\n[effort]\nworker_memory_bytes = 1000000\n";
    let error = Policy::parse(text, "g").unwrap_err();
    assert_eq!(error.key, "effort.worker_memory_bytes");
    assert!(
        error.problem.contains("at least 67108864 (64.0 MiB)"),
        "{error}"
    );
}

#[test]
fn a_mode_brings_its_own_defaults() {
    let promotion = Policy::parse("schema_version = 1\nmode = \"promotion\"\n", "g").unwrap();
    assert_eq!(promotion.scenes.min_scenes, 250);
    assert_eq!(promotion.confidence.method, Method::Guaranteed);
    assert_eq!(promotion.effort.looks, [15, 25, 40, 60]);
    let shorter = "schema_version = 1\nmode = \"promotion\"\n[effort]\nlaunches = 8\n";
    let shorter = Policy::parse(shorter, "g").unwrap();
    assert_eq!(
        shorter.effort.looks, [0usize; 0],
        "looks end at the launches of their plan"
    );
    let first = Policy::parse("schema_version = 1\nmode = \"bootstrap\"\n", "g").unwrap();
    assert!(first.checks.iter().all(|check| check.margin.is_none()));
}

#[test]
fn what_contradicts_itself_is_refused() {
    refused(
        "[effort]\nlaunches = 10\nlooks = [6, 10]\nshares = [0.5]\n",
        "gate.toml:6: `effort.shares`: 1 shares belong to 2 looks; each look takes one",
    );
    refused(
        "[effort]\nlooks = [6, 9]\nshares = [0.5, 0.5]\n",
        "gate.toml:4: `effort.looks`: the last look must be at all 10 launches",
    );
    refused(
        "[effort]\nlooks = [6, 10]\nshares = [0.6, 0.6]\n",
        "gate.toml:5: `effort.shares`: each share lies above 0, and together they are at most 1",
    );
    refused(
        "[collapse]\ndrop = 0.6\n",
        "gate.toml:3: `collapse.severe`: is smaller than collapse.drop",
    );
    refused(
        "[[slice]]\nname = \"night\"\n[[slice]]\nname = \"night\"\n",
        "gate.toml:6: `slice[1].name`: `night` stands twice",
    );
    refused(
        "[sentinels]\nset = \"s\"\ndemand = \"all\"\n\
         exempt = [{ scene = \"a\", reason = \" \" }]\n",
        "gate.toml:6: `sentinels.exempt[0].reason`: is empty: say why the sentinel is let off",
    );
    refused(
        &one_check("metric = \"valid\"\nlimit = { at_most = 0.5 }"),
        "gate.toml:5: `check[0].limit`: `valid` takes { at_least = … }",
    );
    refused(
        &one_check("metric = \"peak_bytes\"\nlimit = { at_most = nan }"),
        "gate.toml:5: `check[0].limit`: NaN is not a finite number of at least 0",
    );
    refused(
        &one_check("metric = \"peak_bytes\"\nlimit = { at_moist = 3.0 }"),
        "gate.toml:5: `check[0].limit.at_moist`: unknown key; did you mean `at_most`?",
    );
    refused(
        &one_check("metric = \"valid\"\nmethod = \"plug-in\""),
        "gate.toml:5: `check[0].method`: `valid` is decided in one way only",
    );
}

#[test]
fn a_first_model_is_held_against_limits_only() {
    let key = |rest: &str| {
        let text = format!("schema_version = 1\nmode = \"bootstrap\"\n{rest}");
        Policy::parse(&text, "g").unwrap_err().key
    };
    let margin = one_check("metric = \"fact_ok\"\nmargin = { absolute = 0.1 }");
    assert_eq!(key(&margin), "check[0].margin");
    assert_eq!(key(&one_check("metric = \"fact_ok\"")), "check[0].limit");
}

#[test]
fn margins_that_the_method_cannot_reach_are_refused() {
    let key = |method: &str, margin: f64, scenes: usize| {
        let text = format!(
            "[scenes]\nmin_scenes = {scenes}\n[confidence]\nmethod = \"{method}\"\n{}",
            one_check(&format!(
                "metric = \"fact_ok\"\nmargin = {{ absolute = {margin} }}"
            ))
        );
        Policy::parse(&format!("{HEAD}{text}"), "g").map(|_| ())
    };
    // Tango needs 88 scenes for 3 points when nothing differs; bets need more.
    assert!(key("plug-in", 0.03, 87).is_err() && key("plug-in", 0.03, 89).is_ok());
    assert!(key("guaranteed", 0.02, 150).is_err() && key("guaranteed", 0.02, 200).is_ok());
    assert!(key("guaranteed", 0.03, 89).is_err());
}

#[test]
fn weak_policies_are_warned_of() {
    let warnings = |rest: &str| {
        Policy::parse(&format!("{HEAD}{rest}"), "g")
            .unwrap()
            .warnings()
    };
    assert_eq!(warnings(""), Vec::<String>::new());
    let bare = one_check("metric = \"object_recall\"\nmargin = { absolute = 0.05 }");
    assert!(warnings(&bare)[0].contains("collapse_rate"));
    let unpinned = Policy::parse("schema_version = 1\nmode = \"promotion\"\n", "g").unwrap();
    assert!(unpinned.warnings()[0].contains("scenes.digest"));
}

/// Every key of every table with one letter too many is refused with the right one suggested.
#[test]
fn a_slip_in_any_key_is_recognised() {
    let mut n_keys = 0;
    for (table, keys) in KEYS {
        for key in *keys {
            let slip = format!("{key}x");
            let text = match *table {
                "" => format!("{HEAD}{slip} = 1\n"),
                "check" | "slice" => format!("{HEAD}[[{table}]]\n{slip} = 1\n"),
                "sentinels.exempt" => {
                    format!("{HEAD}[sentinels]\nexempt = [{{ {slip} = 1 }}]\n")
                }
                "check.margin" | "check.limit" => {
                    let inner = table.trim_start_matches("check.");
                    format!("{HEAD}[[check]]\n{inner} = {{ {slip} = 1 }}\n")
                }
                table => format!("{HEAD}[{table}]\n{slip} = 1\n"),
            };
            let problem = Policy::parse(&text, "g").unwrap_err().problem;
            assert_eq!(
                problem,
                format!("unknown key; did you mean `{key}`?"),
                "{text}"
            );
            n_keys += 1;
        }
    }
    assert!(n_keys > 40, "{n_keys}");
}

#[test]
fn waivers_are_read_whole_or_refused() {
    let waiver = |edit: &dyn Fn(String) -> String| {
        let text = "[[waiver]]\ncheck = \"peak_bytes\"\nceiling = { relative = 0.06 }\n\
            expires = \"2027-01-31\"\nreason = \"wider vocabulary\"\napproved_by = \"ana\"\n";
        Policy::parse(&format!("{HEAD}{}", edit(text.to_owned())), "gate.toml")
    };
    let policy = waiver(&|text| text).expect("good");
    assert_eq!(policy.waivers.len(), 1);
    assert!(policy.check_expiry("2027-01-31").is_ok());
    let error = policy.check_expiry("2027-02-01").expect_err("expired");
    assert!(
        error.to_string().contains("expired on 2027-01-31"),
        "{error}"
    );
    assert_ne!(policy.digest(), Policy::built_in().digest());
    for (from, to, key) in [
        ("peak_bytes", "peak_byte", "waiver[0].check"),
        ("peak_bytes", "valid", "waiver[0].check"),
        ("peak_bytes", "ttft_ms", "waiver[0].check"),
        ("0.06", "0.02", "waiver[0].ceiling"),
        ("0.06", "inf", "waiver[0].ceiling"),
        ("relative", "absolute", "waiver[0].ceiling"),
        ("0.06", "0.06, floor_bytes = 1", "waiver[0].ceiling"),
        ("2027-01-31", "31.01.2027", "waiver[0].expires"),
        ("2027-01-31", "2027-13-01", "waiver[0].expires"),
        ("wider vocabulary", " ", "waiver[0].reason"),
        ("\"ana\"", "\"\"", "waiver[0].approved_by"),
        ("reason", "reasons", "waiver[0].reasons"),
    ] {
        let error = waiver(&|text| text.replace(from, to)).expect_err(to);
        assert_eq!(error.key, key, "{error}");
        assert!(error.line.is_some(), "{error}");
    }
    assert!(
        waiver(&|text| text.clone() + &text).is_err(),
        "the same check twice"
    );
    assert!(
        waiver(&|text| text.replace("approved_by", "# ")).is_err(),
        "nobody approved it"
    );
}

#[test]
fn a_waiver_may_name_a_slice_that_vetoes() {
    let policy = |edit: &dyn Fn(String) -> String| {
        let text = "[[slice]]\nname = \"night\"\n[[waiver]]\ncheck = \"fact_ok\"\nslice = \
            \"night\"\nceiling = { absolute = 0.25 }\nexpires = \"2027-01-31\"\nreason = \"new \
            camera\"\napproved_by = \"ana\"\n";
        Policy::parse(&format!("{HEAD}{}", edit(text.to_owned())), "gate.toml")
    };
    let good = policy(&|text| text).expect("good");
    assert_eq!(good.waivers[0].slice.as_deref(), Some("night"));
    for (from, to, key, problem) in [
        (
            "slice = \"night\"",
            "slice = \"nigh\"",
            "waiver[0].slice",
            "did you mean `night`?",
        ),
        (
            "fact_ok",
            "peak_bytes",
            "waiver[0].slice",
            "no mean over scenes",
        ),
        (
            "fact_ok",
            "collapse_rate",
            "waiver[0].slice",
            "no mean over scenes",
        ),
        // The margin is 0.10; the slice vetoes from 0.20 on.
        ("0.25", "0.20", "waiver[0].ceiling", "is not above 0.2"),
        ("0.25", "1.0", "waiver[0].ceiling", "below 1"),
        ("0.25", "nan", "waiver[0].ceiling", "NaN is not above"),
        (
            "absolute",
            "relative",
            "waiver[0].ceiling",
            "kind of margin",
        ),
        (
            "slice = ",
            "slices = ",
            "waiver[0].slices",
            "did you mean `slice`?",
        ),
    ] {
        let error = policy(&|text| text.replace(from, to)).expect_err(to);
        assert_eq!(error.key, key, "{error}");
        assert!(error.problem.contains(problem), "{error}");
        assert!(error.line.is_some(), "{error}");
    }
    let waiver = |text: &str| text[text.find("[[waiver]]").expect("there")..].to_owned();
    let twice = policy(&|text| text.clone() + &waiver(&text)).expect_err("the same slice twice");
    assert!(twice.problem.contains("waived twice on slice `night`"));
    let beside = policy(&|text| text.clone() + &waiver(&text).replace("slice = \"night\"\n", ""));
    let beside = beside.expect("the whole check beside the slice");
    assert_eq!(beside.waivers.len(), 2);
    assert_ne!(beside.digest(), good.digest());
}

#[test]
fn sources_and_archives_are_bounded_by_the_policy() {
    let text = "[sources]\nallow_hosts = [\"models.acme.dev\"]\nmax_artifact_bytes = 1000\n\
        [archive]\nmax_ratio = 10\n";
    let policy = Policy::parse(&format!("{HEAD}{text}"), "gate.toml").expect("good");
    assert_eq!(policy.sources.allow_hosts, ["models.acme.dev"]);
    assert_eq!(policy.sources.max_artifact_bytes, Bytes(1000));
    assert_eq!(policy.archive.max_ratio, 10);
    assert_eq!(policy.archive.max_entries, 4096);
    assert_ne!(policy.digest(), Policy::built_in().digest());
    let plain = Policy::parse(HEAD, "gate.toml").expect("good");
    assert!(plain.sources.is_default() && plain.archive.is_default());
    for (text, key) in [
        ("[sources]\nallow_host = []\n", "sources.allow_host"),
        (
            "[sources]\nmax_artifact_bytes = 0\n",
            "sources.max_artifact_bytes",
        ),
        (
            "[sources]\nmax_total_bytes = 1\n",
            "sources.max_total_bytes",
        ),
        ("[archive]\nmax_ratios = 1\n", "archive.max_ratios"),
        ("[archive]\nmax_ratio = 0\n", "archive.max_ratio"),
        ("[archive]\nmax_entries = -1\n", "archive.max_entries"),
    ] {
        let error = Policy::parse(&format!("{HEAD}{text}"), "gate.toml").expect_err(text);
        assert_eq!(error.key, key, "{error}");
        assert!(error.line.is_some(), "{error}");
    }
}

#[test]
fn tables_of_the_store_may_stand_in_the_same_file() {
    let text = "[store]\nkeep = 3\n[health]\ntries = 2\n";
    let policy = Policy::parse(&format!("{HEAD}{text}"), "gate.toml").expect("good");
    assert_eq!(policy.digest(), Policy::built_in().digest());
    refused(
        "[stor]\n",
        "gate.toml:3: `stor`: unknown key; did you mean `store`?",
    );
}
