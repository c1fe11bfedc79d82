//! Arbitrary bytes as a `tokenizer.json`, then fixed texts and ids through it.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vv_eval::model::Tokenizer;

const TEXTS: [&str; 3] = [
    "",
    "ab abc  aa",
    "Às 12h30, uma pessoa entrou <|eot_id|>\r\n\u{1f44b}\u{301} don't",
];

/// Panics of other crates are let through to where this program contains them, or to the fuzzer's
/// own catch; all others are reported where they happen.
fn hook() {
    std::panic::set_hook(Box::new(|info| {
        let is_foreign = |place: &std::panic::Location<'_>| place.file().contains("/registry/");
        if !info.location().is_some_and(is_foreign) {
            eprintln!("{info}");
            std::process::abort();
        }
    }));
}

fuzz_target!(init: hook(), |bytes: &[u8]| {
    let Ok(tokenizer) =
        Tokenizer::parse(Path::new("tokenizer.json"), bytes).map_err(|error| error.to_string())
    else {
        return;
    };
    let _ = (tokenizer.id_limit(), tokenizer.vocab_size());
    for text in TEXTS {
        for add_special in [false, true] {
            if let Ok(ids) = tokenizer.encode(text, add_special) {
                let _ = tokenizer.decode(&ids);
            }
        }
    }
    let _ = tokenizer.decode(&[0, 1, 2, 3, 250, u32::MAX]);
});
