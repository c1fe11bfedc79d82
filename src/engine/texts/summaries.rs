//! Summaries of scenes behind their prompts, written for the check alone.
//!
//! They are phrased as the synthetic world of this program phrases its training texts: small models
//! trained on it know few other words for the same.
//!
//! Prompts are what `scene-text/1` makes of such a scene in the template
//! `prompts/scene_summarizer.prompt`; a test of the program renders them again.

/// Prompt and summary.
pub const SUMMARIES: [(&str, &str); 4] = [
    (
        "Resuma a cena em português.\n\
         Duração: 01:30\n\
         car: até 2, 00:05 a 00:40, 20 quadros\n\
         person: até 1, 00:12 a 00:31, 14 quadros\n",
        "Às 00:05 surgem dois carros; às 00:12, uma pessoa.",
    ),
    (
        "Resuma a cena em português.\n\
         Duração: 00:45\n\
         nenhuma detecção\n",
        "A cena ficou vazia, sem movimento algum.",
    ),
    (
        "Resuma a cena em português.\n\
         Duração: 02:10\n\
         person: até 3, 00:08 a 01:52, 61 quadros\n\
         truck: até 1, 00:33 a 01:15, 27 quadros\n",
        "Às 00:08 surgem três pessoas; às 00:33, um caminhão.",
    ),
    (
        "Resuma a cena em português.\n\
         Duração: 03:20\n\
         Início: 14:30:00\n\
         bus: até 1, 14:30:12 a 14:31:05, 31 quadros\n\
         bicycle: até 2, 14:32:00 a 14:32:20, 11 quadros\n",
        "Às 14:30 surge um ônibus; às 14:32, duas bicicletas.",
    ),
];
