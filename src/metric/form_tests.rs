use StopReason::{ContextFull, Eos, MaxTokens};

use super::*;
use crate::scene::lexicon::BUILT_IN;

fn form(text: &str, stop: Option<StopReason>) -> Form {
    let output = ModelText::read(text);
    let order = WordOrder::of(read_part(&output), &BUILT_IN);
    Form::of(&output, stop, &order, &BUILT_IN)
}

#[track_caller]
fn check(text: &str, stop: impl Into<Option<StopReason>>, flags: &[&str]) {
    let shown: String = text.chars().take(80).collect();
    assert_eq!(form(text, stop.into()).flags(), flags, "{shown:?}");
}

#[test]
fn an_ordinary_summary_has_no_flag() {
    check("Duas pessoas passam.", Eos, &[]);
    check(
        "Às 00:10 duas pessoas passam pela rua com um cachorro.",
        None,
        &[],
    );
}

#[test]
fn empty_is_a_text_without_letters() {
    check("", Eos, &["empty"]);
    check(" \n\u{a0}", None, &["empty"]);
    check("12:30, 14.", Eos, &["empty"]);
    check("às 12:30.", Eos, &[]);
}

#[test]
fn truncated_is_what_a_limit_ended() {
    check("Duas pessoas pas", MaxTokens, &["truncated"]);
    check("Duas pessoas passam.", ContextFull, &["truncated"]);
    check("Duas pessoas passam", Eos, &[]);
}

#[test]
fn truncated_is_seen_at_the_last_mark_where_no_reason_is_known() {
    check("Duas pessoas pas", None, &["truncated"]);
    check("Duas pessoas,", None, &["truncated"]);
    for end in [".", "!", "?", "…", "\"", "'", ")", "»", "”", ".\u{1f}\n"] {
        check(&format!("Duas pessoas passam{end}"), None, &[]);
    }
    // A short list is no truncation.
    check("2 pessoas, 1 carro.", None, &[]);
}

#[test]
fn loops_repeat_a_word_or_a_block_back_to_back() {
    check("um carro um carro um carro", Eos, &["loop"]);
    check("um carro um carro", Eos, &[]);
    check("não não não não", Eos, &["loop"]);
    check("não não não", Eos, &[]);
    let sentence = "Às 00:10 surgem duas pessoas com um cachorro perto do portão. ";
    check(&sentence.repeat(2), Eos, &[]);
    check(&sentence.repeat(3), Eos, &["loop"]);
}

#[test]
fn loops_with_a_changing_word_show_in_the_share_of_repeats() {
    let passing =
        |word: &str| format!("às dez horas passam {word} pessoas pela rua com um cachorro. ");
    let text: String = ["duas", "três", "duas", "três", "duas", "três"]
        .map(passing)
        .concat();
    check(&text, Eos, &["loop"]);
    check(&["duas", "três"].map(passing).concat(), Eos, &[]);
}

#[test]
fn an_enumeration_is_no_loop() {
    check(
        "um carro, uma moto, um ônibus, um gato, um cachorro e um caminhão passam.",
        Eos,
        &[],
    );
    check(
        "Às 00:10 passa um carro, às 00:20 passa um carro e às 00:30 passa uma moto.",
        Eos,
        &[],
    );
}

#[test]
fn encoding_is_what_could_not_be_read() {
    check("Duas pess\u{fffd}as passam.", Eos, &["encoding"]);
    check("Duas pessõas passam.", Eos, &[]);
    let escaped = r#"{"summary_text": "Duas \ud800 pessoas passam.", "keywords": []}"#;
    check(escaped, Eos, &["encoding"]);
    let whole = r#"{"summary_text": "Duas \ud83d\udc4d pessoas passam.", "keywords": []}"#;
    check(whole, Eos, &[]);
}

#[test]
fn too_long_is_beyond_the_size_limit() {
    let sentence = |i: usize| {
        format!(
            "Às 00:{i:02} a pessoa de número {i} passa pela rua {}. ",
            i * 7919
        )
    };
    let text: String = (0..600).map(sentence).collect();
    assert!(text.len() > SIZE_LIMIT);
    let cut = scored_part(&text);
    check(&format!("{}.", &cut[..cut.len() - 1]), Eos, &[]);
    check(&text, Eos, &["too_long"]);
}

#[test]
fn echo_is_the_input_or_a_wrapped_answer() {
    check("```\nDuas pessoas passam.\n```", Eos, &["echo"]);
    check(r#"[{"label": "person"}]"#, Eos, &["echo"]);
    check(r#""Duas pessoas passam.""#, Eos, &["echo"]);
    check("Duas pessoas, bounding_box 10 20.", Eos, &["echo"]);
    check("Em frame_timestamp_seconds há uma pessoa.", Eos, &["echo"]);
    check("O evento mostra duas pessoas na rua.", Eos, &[]);
    check("{Duas pessoas} passam.", Eos, &[]);
}

#[test]
fn the_accepted_object_is_no_echo_and_must_keep_the_contract() {
    let good = r#"{"summary_text": "Duas pessoas passam.", "keywords": ["pessoa"]}"#;
    check(good, Eos, &[]);
    check(&format!("```json\n{good}\n```"), Eos, &[]);
    check(good, None, &[]);
    check(
        r#"{"summary_text": "Duas pessoas passam."}"#,
        Eos,
        &["contract"],
    );
    check(
        r#"{"summary_text": "Duas pessoas passam.", "keywords": [], "x": 1}"#,
        Eos,
        &["contract"],
    );
    check(
        r#"{"summary_text": 3, "keywords": []}"#,
        Eos,
        &["empty", "contract"],
    );
    // Another object is not the accepted one.
    check(r#"{"texto": "Duas pessoas passam."}"#, Eos, &["echo"]);
}

#[test]
fn other_languages_are_seen_from_six_words_on() {
    let english = "Two people walk across the street while a truck drives past the gate.";
    check(english, Eos, &["not portuguese"]);
    let spanish = "Dos personas cruzan la calle y luego un camión pasa delante de la puerta.";
    check(spanish, Eos, &["not portuguese"]);
    check("Two people walk past there.", Eos, &[]);
    assert_eq!(
        form("Two people walk past there.", None).is_portuguese,
        None
    );
    let portuguese = "Duas pessoas atravessam a rua e depois um caminhão passa diante do portão.";
    assert_eq!(form(portuguese, None).is_portuguese, Some(true));
}

#[test]
fn portuguese_with_an_english_noun_is_portuguese_and_its_noun_is_counted() {
    let text = "Às 00:10 aparece um car e depois um traffic light na rua; a person sai.";
    assert_eq!(form(text, None).is_portuguese, Some(true));
    assert_eq!(english_leak(&words(text), &BUILT_IN), 3);
    let exempt = "Um mouse, um laptop e uma pizza ficam sobre a mesa.";
    assert_eq!(english_leak(&words(exempt), &BUILT_IN), 0);
}

#[test]
fn details_of_repetition_and_length() {
    let of = |text: &str| Repetition::of(&words(text));
    assert_eq!(of("a b a b").distinct_1, Some(0.5));
    assert_eq!(of("a b a b").distinct_2, Some(2.0 / 3.0));
    assert_eq!(of("a b a b").rep_4, Some(0.0));
    assert_eq!(of("a b a b a b").rep_4, Some(1.0 - 2.0 / 3.0));
    assert_eq!(of("a").distinct_2, None);
    assert_eq!(of("").distinct_1, None);
    let references = ["ab".to_owned(), "çd".to_owned() + "ef"];
    assert_eq!(length_ratio("ção", &references), Some(1.0));
    assert_eq!(length_ratio("abc", &[]), None);
}

#[test]
fn hostile_texts_end_in_bounded_time() {
    check(
        &"carro ".repeat(10_000),
        Eos,
        &["too_long", "loop", "not portuguese"],
    );
    check(&"x".repeat(1 << 20), None, &["too_long", "truncated"]);
    check(&format!("{}fim.", "[".repeat(1 << 20)), None, &["too_long"]);
    check(&"\u{202e}\u{7}\u{0}".repeat(9), Eos, &["empty"]);
    check(&"a\u{300}".repeat(400), Eos, &[]);
}
