//! Which test holds which row of the catalogue of bad inputs about manifests (M), the network (N)
//! and archives (A), and which holds which weakness of the first installer (W).
//!
//! The tables are checked against the sources: a test that is renamed or gone is noticed here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::super::common::root;
use super::tell;

/// Tables whose rows are run through the program, those that keep what is there twice.
const TABLE: &str = "manifests_of_the_catalogue";
const FILES: &str = "files_of_the_catalogue";
const ANSWERS: &str = "answers_of_the_catalogue";
const ARCHIVES: &str = "archives_of_the_catalogue";

/// Where the rows of a table stand.
fn source_of(table: &str) -> Option<&'static str> {
    match table {
        TABLE | FILES => Some("faults.rs"),
        ANSWERS => Some("answers.rs"),
        ARCHIVES => Some("archives.rs"),
        _ => None,
    }
}

/// Row, and the tests that hold it; variants of a row stand in one test where they are alike.
const ROWS: &[(&str, &[&str])] = &[
    (
        "M01",
        &[TABLE, "m01_m04_files_that_are_no_manifest_are_named"],
    ),
    ("M02", &[TABLE, "m02_m03_what_is_not_json_is_located"]),
    ("M03", &[TABLE, "m02_m03_what_is_not_json_is_located"]),
    ("M04", &[TABLE, "m04_deep_nesting_is_refused"]),
    ("M05", &[TABLE, "m05_a_byte_order_mark_is_skipped"]),
    ("M06", &[TABLE, "m06_other_encodings_are_refused"]),
    ("M07", &[TABLE, "m07_the_top_level_is_an_object"]),
    ("M08", &[TABLE, "m08_duplicate_keys_are_refused"]),
    ("M09", &[TABLE, "m09_unknown_keys_warn"]),
    (
        "M10",
        &[TABLE, "m10_misspelt_keys_are_refused_with_a_suggestion"],
    ),
    ("M11", &[TABLE, "m11_the_version_is_a_text"]),
    ("M12", &[TABLE, "m12_versions_are_kept_as_written"]),
    ("M13", &[TABLE, "m13_other_versions_are_refused"]),
    ("M14", &[TABLE, "m14_artifacts_are_a_list_with_entries"]),
    ("M15", &[TABLE, "m15_the_two_forms_do_not_mix"]),
    ("M16", &[TABLE, "m16_the_flat_form_is_read"]),
    ("M17", &[TABLE, "m17_a_missing_size_warns"]),
    ("M18", &[TABLE, "m18_digests_have_64_hex_digits"]),
    ("M19", &[TABLE, "m19_upper_case_digests_are_normalised"]),
    ("M20", &[TABLE, "m20_m21_placeholders_are_named"]),
    ("M21", &[TABLE, "m20_m21_placeholders_are_named"]),
    ("M22", &[TABLE, "m22_sizes_are_positive_integers"]),
    ("M23", &[TABLE, "m23_sizes_have_a_limit"]),
    (
        "M24",
        &[TABLE, "m24_m25_m26_targets_are_one_name_below_the_root"],
    ),
    (
        "M25",
        &[TABLE, "m24_m25_m26_targets_are_one_name_below_the_root"],
    ),
    (
        "M26",
        &[TABLE, "m24_m25_m26_targets_are_one_name_below_the_root"],
    ),
    (
        "M27",
        &[TABLE, "m27_targets_are_equal_or_clearly_different"],
    ),
    ("M28", &[TABLE, "m28_file_names_are_one_component"]),
    ("M29", &[TABLE, "m29_files_of_the_host_need_to_be_allowed"]),
    (
        "M30",
        &["m30_plain_http_needs_its_flag_and_a_private_host_its_name"],
    ),
    (
        "M31",
        &[
            "m31_hosts_of_no_list_and_private_addresses_are_never_asked",
            "private_addresses_need_their_hosts_name",
        ],
    ),
    ("M32", &[TABLE, "m32_odd_dates_warn"]),
    (
        "M33",
        &[TABLE, "the_summarizer_must_be_one_the_release_works_with"],
    ),
    (
        "M34",
        &[
            "m34_m35_a_version_below_needs_to_have_been_here",
            "a_lower_version_needs_a_reason",
        ],
    ),
    (
        "M35",
        &[
            "m34_m35_a_version_below_needs_to_have_been_here",
            "an_earlier_release_still_on_disk_comes_back_without_its_artifacts",
        ],
    ),
    (
        "M36",
        &[
            "the_policy_beside_the_manifest_counts",
            "a_version_that_names_other_bytes_is_installed_with_a_warning_unless_policy_forbids",
        ],
    ),
    (
        "M37",
        &["m37_the_manifest_that_was_read_first_is_what_is_installed"],
    ),
    (
        "N01",
        &[
            ANSWERS,
            "n01_unreachable_servers_are_asked_again_and_then_given_up",
            "n01_names_that_do_not_resolve_are_unreachable",
            "n01_an_address_without_a_route_is_network",
        ],
    ),
    (
        "N02",
        &[
            "n02_n19_servers_that_prove_nothing_or_lead_to_plain_http_end_at_once",
            "n02_certificates_that_prove_nothing_end_at_once",
            "n02_a_certificate_that_is_over_and_an_old_protocol_end_at_once",
        ],
    ),
    ("N03", &[ANSWERS, "n03_silence_is_waited_for_only_so_long"]),
    (
        "N04",
        &[ANSWERS, "n04_a_drip_is_fine_unless_the_policy_minds"],
    ),
    (
        "N05",
        &[
            ANSWERS,
            "n05_a_connection_reset_in_the_body_is_resumed",
            "n05_n21_what_one_run_broke_off_or_one_mirror_spoilt_the_next_mends",
        ],
    ),
    ("N06", &[ANSWERS, "n06_server_errors_pass"]),
    (
        "N07",
        &[ANSWERS, "n07_retry_after_is_honoured_within_bounds"],
    ),
    ("N08", &["n08_refusals_are_final", ANSWERS]),
    ("N09", &[ANSWERS, "n09_a_login_page_is_named"]),
    (
        "N10",
        &[
            ANSWERS,
            "n10_a_body_that_is_always_short_is_a_matter_of_its_length",
        ],
    ),
    (
        "N11",
        &[
            ANSWERS,
            "n11_bodies_stop_at_the_promised_length",
            "n11_no_more_is_written_than_was_promised",
        ],
    ),
    ("N12", &[ANSWERS, "n12_a_body_without_a_length_is_fine"]),
    (
        "N13",
        &[
            ANSWERS,
            "n13_a_range_that_is_ignored_begins_anew",
            "n13_a_tag_that_changed_begins_anew",
        ],
    ),
    (
        "N14",
        &[
            ANSWERS,
            "n14_a_wrong_part_is_dropped_once",
            "n14_multipart_ranges_are_unusable",
        ],
    ),
    ("N15", &[ANSWERS, "n15_a_part_that_is_too_long_is_dropped"]),
    ("N16", &["n16_an_encoding_that_is_only_a_label_is_ignored"]),
    ("N17", &[ANSWERS, "n17_compression_on_the_fly_is_named"]),
    ("N18", &[ANSWERS, "n18_redirects_are_followed_so_far"]),
    (
        "N19",
        &[
            "n02_n19_servers_that_prove_nothing_or_lead_to_plain_http_end_at_once",
            ANSWERS,
            "n19_redirects_lead_nowhere_the_rules_forbid",
            "n19_a_redirect_never_leads_from_https_to_http",
            "n19_credentials_stay_with_their_host",
        ],
    ),
    (
        "N20",
        &[
            ANSWERS,
            "n20_other_bytes_are_fetched_once_more_and_then_refused",
            "n20_other_bytes_are_fetched_twice_and_refused",
        ],
    ),
    (
        "N21",
        &[
            "n21_the_next_mirror_is_asked",
            "n05_n21_what_one_run_broke_off_or_one_mirror_spoilt_the_next_mends",
        ],
    ),
    ("N22", &[ANSWERS, "n22_headers_are_bounded"]),
    (
        "N23",
        &[
            "n23_the_proxy_of_the_environment_is_asked",
            "n23_a_proxy_that_refuses_ends_it",
        ],
    ),
    (
        "N24",
        &[
            "n24_what_is_not_there_or_not_allowed_ends_at_once",
            "n24_throttling_passes_and_a_store_that_stays_busy_is_given_up",
            "n24_an_object_of_a_cloud_store_needs_a_build_that_reads_it",
            "real_peers",
        ],
    ),
    // Batch requests are git-lfs's own; c: it is never run where only listed hosts may be asked.
    (
        "N25",
        &[
            ANSWERS,
            "n25_a_pointer_in_place_of_the_model_is_named",
            "n25_a_pointer_of_another_size_is_refused",
            "pointers_lead_to_the_objects_of_the_repository",
            "real_peers",
            FILES,
        ],
    ),
    (
        "N26",
        &[
            "n26_what_the_registry_does_not_have_is_said",
            "n26_an_alias_that_moves_meanwhile_changes_nothing",
            "n26_an_alias_of_a_registry_is_pinned_once",
            "n26_what_a_registry_does_not_have_leaves_the_manifest_alone",
            "real_peers",
        ],
    ),
    (
        "N27",
        &[
            "n27_the_md5_of_dvc_decides_nothing",
            "n27_the_place_comes_from_dvc_and_the_digest_from_the_manifest",
            "real_peers",
        ],
    ),
    (
        "N28",
        &[
            "n28_offline_uses_only_what_is_whole",
            "n28_what_was_fetched_before_installs_without_network",
        ],
    ),
    (
        "A01",
        &["a01_a_hostile_archive_with_other_bytes_is_never_parsed"],
    ),
    ("A02", &["a02_what_is_not_gzip_is_named", ARCHIVES]),
    (
        "A03",
        &["a03_a04_cut_and_damaged_streams_are_malformed", ARCHIVES],
    ),
    (
        "A04",
        &[ARCHIVES, "a03_a04_cut_and_damaged_streams_are_malformed"],
    ),
    (
        "A05",
        &[ARCHIVES, "a05_a06_all_members_count_and_only_zeros_follow"],
    ),
    (
        "A06",
        &[ARCHIVES, "a05_a06_all_members_count_and_only_zeros_follow"],
    ),
    ("A07", &[ARCHIVES, "a07_a08_ends_are_checked"]),
    ("A08", &[ARCHIVES, "a07_a08_ends_are_checked"]),
    (
        "A09",
        &["a09_an_archive_without_files_is_malformed", ARCHIVES],
    ),
    (
        "A10",
        &[
            "a10_a18_names_that_lead_elsewhere_or_mislead_are_unsafe",
            ARCHIVES,
        ],
    ),
    ("A11", &["a11_a12_links_and_devices_are_unsafe", ARCHIVES]),
    ("A12", &["a11_a12_links_and_devices_are_unsafe", ARCHIVES]),
    (
        "A13",
        &[
            ARCHIVES,
            "a13_sparse_files_are_unsafe",
            "a11_a12_links_and_devices_are_unsafe",
        ],
    ),
    (
        "A14",
        &[
            ARCHIVES,
            "a14_extensions_that_readers_take_differently_are_unsafe",
            "a14_python_lists_the_same",
        ],
    ),
    ("A15", &[ARCHIVES, "a15_malformed_records_are_malformed"]),
    ("A16", &[ARCHIVES, "a16_long_extensions_are_unsafe"]),
    ("A17", &["a17_no_name_is_there_twice", ARCHIVES]),
    (
        "A18",
        &[
            "a10_a18_names_that_lead_elsewhere_or_mislead_are_unsafe",
            ARCHIVES,
        ],
    ),
    (
        "A19",
        &[
            ARCHIVES,
            "a19_modes_owners_and_times_of_the_archive_reach_nothing",
            "w09_modes_and_owners_of_an_archive_are_not_kept",
        ],
    ),
    ("A20", &["a20_bombs_stop_early", ARCHIVES]),
    (
        "A21",
        &["a21_leading_directories_are_removed_on_demand", ARCHIVES],
    ),
    (
        "A22",
        &[
            ARCHIVES,
            FILES,
            "a22_a_model_without_one_of_its_parts_is_named",
        ],
    ),
    (
        "A23",
        &[ARCHIVES, "a23_safetensors_headers_cover_their_data"],
    ),
    (
        "A24",
        &[
            ARCHIVES,
            FILES,
            "a24_gguf_headers_are_held_against_the_file",
        ],
    ),
    (
        "A25",
        &[
            ARCHIVES,
            FILES,
            "a25_what_could_run_is_refused_by_its_content",
        ],
    ),
    (
        "A26",
        &[
            ARCHIVES,
            "a26_json_has_bounds",
            "a26_an_endless_chat_template_is_stored_and_found_by_the_smoke_test",
        ],
    ),
    (
        "A27",
        &["a27_a_file_swapped_while_it_is_used_is_read_as_it_was_digested"],
    ),
    ("W1", &[TABLE]),
    ("W2", &[TABLE]),
    ("W3", &[ARCHIVES]),
    (
        "W4",
        &[
            ARCHIVES,
            "s05_an_upgrade_killed_at_any_step",
            "w03_w04_the_fault_is_the_first_installers_and_not_ours",
        ],
    ),
    (
        "W5",
        &[
            "the_policy_beside_the_manifest_counts",
            "w05_the_same_version_with_other_bytes_is_installed",
        ],
    ),
    ("W6", &["w06_bit_rot_is_found_and_repaired"]),
    ("W7", &[ARCHIVES]),
    ("W8", &[ARCHIVES]),
    (
        "W9",
        &[ARCHIVES, "w09_modes_and_owners_of_an_archive_are_not_kept"],
    ),
    ("W10", &[ARCHIVES]),
    ("W11", &[TABLE]),
    ("W12", &[TABLE]),
    ("W13", &[TABLE]),
    (
        "W14",
        &[
            FILES,
            "a_manifest_that_is_refused_twice_is_refused_for_the_same_reason",
            "w14_a_part_that_answers_500_fails_the_second_time_too",
        ],
    ),
    ("W15", &["w15_a_label_on_the_transport_changes_no_bytes"]),
    ("W16", &["n03_silence_is_waited_for_only_so_long"]),
    (
        "W17",
        &[
            "w17_a_record_that_is_a_list_is_rewritten",
            "s13_a_damaged_record_is_never_trusted",
        ],
    ),
    ("W18", &[TABLE]),
    ("W19", &[TABLE]),
    ("W20", &[FILES]),
    (
        "W21",
        &[
            "s07_s08_the_power_goes_around_the_commit",
            "w21_the_record_is_never_written_in_place",
        ],
    ),
    (
        "W22",
        &[
            "n19_a_redirect_never_leads_from_https_to_http",
            "n05_n21_what_one_run_broke_off_or_one_mirror_spoilt_the_next_mends",
            "there_is_room_or_nothing_is_written",
            "s09_eight_installers_that_wait_end_in_one_generation",
            "a_release_goes_in_comes_back_and_is_remembered",
            "s12_an_open_file_keeps_its_bytes_through_flip_and_gc",
            "s02_s03_s04_a_call_that_fails_keeps_what_is_current",
            "s14_a_plain_directory_becomes_generation_0",
            "readers_as_the_document_describes_them_find_one_release",
        ],
    ),
];

#[test]
fn every_row_has_a_test() {
    let mut known = BTreeSet::new();
    for folder in ["src", "tests"] {
        super::rows::tests(&root().join(folder), &mut known);
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (row, tests) in ROWS {
        *counts.entry(&row[..1]).or_default() += 1;
        assert!(!tests.is_empty(), "{row} has no test");
        for test in *tests {
            assert!(known.contains(*test), "{row}: there is no test `{test}`");
            let Some(source) = source_of(test) else {
                continue;
            };
            let table = fs::read_to_string(root().join("tests/it/store").join(source)).unwrap();
            let words = table.split(['"', ' ']);
            let is_of_row = |word: &str| {
                word.strip_prefix(row).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_lowercase())
                })
            };
            let mut words = words.filter(|word| is_of_row(word));
            assert!(words.next().is_some(), "{row} is not in {source}");
        }
    }
    let names: Vec<&str> = ROWS.iter().map(|(row, _)| *row).collect();
    for (letter, last, width) in [("M", 37, 2), ("N", 28, 2), ("A", 27, 2), ("W", 22, 0)] {
        for i in 1..=last {
            let row = format!("{letter}{i:0width$}");
            assert!(names.contains(&row.as_str()), "{row} is missing");
        }
        assert_eq!(counts[letter], last, "{letter}");
    }
    tell(&format!("rows of the catalogue with a test: {counts:?}"));
}
