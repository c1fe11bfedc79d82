//! Whether the words of a text stand in an order that Portuguese does not have.
//!
//! No grammar is parsed. What is counted are neighbours that sound prose has next to never: an
//! article before a preposition or at the end of a clause, two conjunctions in a row, *um* before a
//! plural, and marks and capitals that contradict each other, such as a capitalised article behind a
//! word in lower case. One of them may be a slip or a name; a text is called disordered when they
//! gather. The word classes are closed ones of the language, hence here and not in the lexicon; its
//! nouns come from the lexicon.

use crate::scene::lexicon::{Gender, Kind, Lexicon, Number};
use crate::scene::text::{Token, fold};

/// Fewest oddities of a disordered text.
const LEAST: usize = 2;
/// Least share of oddities by words: a long text may have a slip here and there.
const LEAST_SHARE: f64 = 0.08;
/// A full stop behind a shorter word may end an abbreviation.
const SHORTEST_BEFORE_STOP: usize = 3;

/// Class of a word as far as its neighbours depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// *o, uma, …*; not *a*, which is also a preposition.
    Article,
    /// *a*.
    A,
    /// A preposition with its article: *do, nas, …*.
    Contraction,
    /// *de, em, …*.
    Preposition,
    /// *e, ou*.
    Conjunction,
    /// A finite verb of the third person that summaries are full of.
    Verb,
    /// *dois* to *doze*.
    Numeral,
    /// Another word that is never a name.
    Common,
    /// Any other word.
    Open,
    /// Digits, times.
    Digits,
    /// A mark that ends a clause: `. , ; : ! ?`.
    Stop,
    /// Any other mark.
    Mark,
}

use Class::{A, Article, Common, Conjunction, Contraction, Digits, Mark, Numeral, Open};
use Class::{Preposition, Stop, Verb};

fn class(word: &str) -> Class {
    match word {
        "o" | "os" | "um" | "uns" | "uma" | "umas" | "as" => Article,
        "a" => A,
        "do" | "da" | "dos" | "das" | "no" | "na" | "nos" | "nas" | "ao" | "aos" | "à" | "às"
        | "pelo" | "pela" | "pelos" | "pelas" | "num" | "numa" => Contraction,
        "de" | "em" | "com" | "por" | "para" | "sem" | "entre" | "até" | "sobre" | "durante" => {
            Preposition
        }
        "e" | "ou" => Conjunction,
        "aparece" | "aparecem" | "surge" | "surgem" | "passa" | "passam" | "cruza" | "cruzam"
        | "atravessa" | "atravessam" | "permanece" | "permanecem" | "há" | "foi" | "foram"
        | "está" | "estão" | "fica" | "ficam" | "chega" | "chegam" | "circula" | "circulam"
        | "caminha" | "caminham" | "segue" | "seguem" | "registra" | "mostra" | "mostram" => Verb,
        "dois" | "duas" | "três" | "quatro" | "cinco" | "seis" | "sete" | "oito" | "nove"
        | "dez" | "onze" | "doze" => Numeral,
        "ninguém" | "nada" | "nenhum" | "nenhuma" | "não" | "depois" | "primeiro" | "logo"
        | "quem" | "tudo" | "quase" | "apenas" | "só" | "pouco" | "já" | "nem" | "que"
        | "também" | "outro" | "outra" | "outros" | "outras" | "este" | "esta" | "esse"
        | "essa" | "seu" | "sua" | "aquele" | "estes" | "esses" | "estas" | "essas" | "algum"
        | "alguma" | "alguns" | "algumas" | "vários" | "várias" => Common,
        _ => Open,
    }
}

/// Frequent words that are no names by themselves, and yet a part of some.
fn is_frequent(word: &str, lexicon: &Lexicon) -> bool {
    match word {
        "são" => false,
        "alguém" | "cada" | "todos" | "todas" | "ambos" | "noite" | "cena" | "vídeo" | "imagem"
        | "câmera" | "movimento" | "local" => true,
        word => lexicon.is_function_word(word),
    }
}

/// Gender, where it is fixed, and number of what follows a determiner.
fn demands(word: &str) -> Option<(Option<Gender>, Number)> {
    let (masculine, feminine) = (Some(Gender::Masculine), Some(Gender::Feminine));
    Some(match word {
        "o" | "um" | "do" | "no" | "ao" | "pelo" | "num" | "este" | "esse" | "aquele"
        | "nenhum" | "outro" | "algum" => (masculine, Number::Singular),
        "uma" | "da" | "na" | "à" | "pela" | "numa" | "esta" | "essa" | "nenhuma" | "outra"
        | "alguma" => (feminine, Number::Singular),
        "os" | "uns" | "dos" | "nos" | "aos" | "pelos" | "estes" | "esses" | "dois" | "outros"
        | "alguns" | "vários" => (masculine, Number::Plural),
        "as" | "umas" | "das" | "nas" | "às" | "pelas" | "estas" | "essas" | "duas" | "outras"
        | "algumas" | "várias" => (feminine, Number::Plural),
        "três" | "quatro" | "cinco" | "seis" | "sete" | "oito" | "nove" | "dez" => {
            (None, Number::Plural)
        }
        _ => return None,
    })
}

/// A label's own noun of one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Noun {
    number: Number,
    /// Known of canonical nouns only.
    gender: Option<Gender>,
}

/// One word or mark.
#[derive(Debug)]
struct Piece<'a> {
    raw: &'a str,
    lower: String,
    class: Class,
    noun: Option<Noun>,
}

impl Piece<'_> {
    fn is_word(&self) -> bool {
        !matches!(self.class, Digits | Stop | Mark)
    }

    fn ends_sentence(&self) -> bool {
        matches!(self.raw, "." | "!" | "?")
    }

    fn is_lower(&self) -> bool {
        self.raw.chars().all(char::is_lowercase)
    }

    fn begins_upper(&self) -> bool {
        self.raw.starts_with(char::is_uppercase)
    }

    fn begins_lower(&self) -> bool {
        self.raw.starts_with(char::is_lowercase)
    }

    /// One capital and then lower case; of single letters only *O*, which is hardly ever a name.
    fn is_capitalised(&self) -> bool {
        let mut chars = self.raw.chars();
        let begins = chars.next().is_some_and(char::is_uppercase);
        let rest = chars.as_str();
        begins && (self.raw == "O" || !rest.is_empty() && rest.chars().all(char::is_lowercase))
    }
}

/// How much of a text stands where it cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Disorder {
    /// Words, numbers not counted.
    pub n_words: usize,
    /// Neighbours that Portuguese does not have.
    pub n_neighbours: usize,
    /// Marks and capitals that contradict each other.
    pub n_marks: usize,
}

impl Disorder {
    /// Counts over a text in NFC.
    pub fn of(text: &str, lexicon: &Lexicon) -> Self {
        let pieces = pieces(text, lexicon);
        let n_neighbours = pieces
            .iter()
            .enumerate()
            .filter(|(i, _)| is_odd(&pieces, *i))
            .count()
            + pieces
                .windows(2)
                .filter(|pair| disagree(&pair[0], &pair[1]))
                .count();
        Self {
            n_words: pieces.iter().filter(|piece| piece.is_word()).count(),
            n_neighbours,
            n_marks: marks(&pieces, n_neighbours > 0, lexicon),
        }
    }

    /// Whether oddities gather.
    pub fn is_disordered(self) -> bool {
        let n = self.n_neighbours + self.n_marks;
        n >= LEAST && n as f64 >= LEAST_SHARE * self.n_words as f64
    }
}

/// Splits a text into words, numbers (times such as `00:12` and `10h02` in one piece) and marks.
fn pieces<'a>(text: &'a str, lexicon: &Lexicon) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_start_matches(char::is_whitespace);
    while let Some(first) = rest.chars().next() {
        let length = if first.is_numeric() {
            number_length(rest)
        } else if first.is_alphabetic() {
            rest.find(|c: char| !c.is_alphabetic())
                .unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (raw, after) = rest.split_at(length);
        let lower = raw.to_lowercase();
        let class = match first {
            '.' | ',' | ';' | ':' | '!' | '?' => Stop,
            _ if first.is_numeric() => Digits,
            _ if first.is_alphabetic() => class(&lower),
            _ => Mark,
        };
        let noun = (class == Open).then(|| noun(&lower, lexicon)).flatten();
        pieces.push(Piece {
            raw,
            lower,
            class,
            noun,
        });
        rest = after.trim_start_matches(char::is_whitespace);
    }
    pieces
}

/// Length of digits, joined by `:`, `h`, `.` or `,` where digits follow.
fn number_length(text: &str) -> usize {
    let digits = |text: &str| text.find(|c: char| !c.is_numeric()).unwrap_or(text.len());
    let mut length = digits(text);
    while text[length..].starts_with([':', 'h', '.', ',']) {
        match digits(&text[length + 1..]) {
            0 => break,
            more => length += 1 + more,
        }
    }
    length
}

fn noun(lower: &str, lexicon: &Lexicon) -> Option<Noun> {
    let token = Token {
        lower: lower.to_owned(),
        folded: fold(lower),
        span: (0, lower.len()),
    };
    let (_, surface) = lexicon.surface_at(&[lexicon.word_id(&token)])?;
    if surface.sense.kind != Kind::Label || !surface.is_spelt_by(&[token]) {
        return None;
    }
    let label = lexicon.label(&surface.sense.key)?;
    let is_canonical = label.canon.iter().any(|noun| noun == lower);
    Some(Noun {
        number: surface.sense.number,
        gender: is_canonical.then_some(label.gender),
    })
}

/// Whether a piece cannot stand before the next one; a text ends like a clause.
fn is_odd(pieces: &[Piece<'_>], at: usize) -> bool {
    // The pronoun of *viu-o*.
    if at > 0 && pieces[at - 1].raw == "-" {
        return false;
    }
    let word = pieces[at].lower.as_str();
    let next = pieces.get(at + 1);
    let (next_word, next_class) = next.map_or((".", Stop), |it| (it.lower.as_str(), it.class));
    match pieces[at].class {
        Article => match next_class {
            Stop | Article | A | Conjunction => true,
            // *o de ontem*, *um em cada três*
            Preposition => !matches!(next_word, "de" | "em"),
            // *um dos carros*, *o da direita*
            Contraction => {
                !matches!(next_word, "do" | "da" | "dos" | "das")
                    || !matches!(word, "o" | "os" | "as" | "um" | "uma")
            }
            // *o mostra*: a pronoun
            Verb => word.starts_with('u'),
            Numeral => matches!(word, "um" | "uma"),
            _ => false,
        },
        Contraction => match next_class {
            Stop | Article | A | Conjunction | Preposition => true,
            Contraction => !(matches!(word, "num" | "numa") && matches!(next_word, "dos" | "das")),
            // *do passa-tempo*, *ao mostra*: nouns of the same form
            Verb => !matches!(next_word, "passa" | "segue" | "mostra" | "foi"),
            _ => false,
        },
        Preposition => match next_class {
            Stop => word != "durante",
            Conjunction => true,
            Contraction => !matches!(word, "até" | "para" | "por"),
            Verb => !matches!(word, "para" | "entre" | "até" | "sobre" | "sem"),
            _ => false,
        },
        Conjunction => {
            next_class == Conjunction || next_class == Stop && !matches!(next_word, "," | ":")
        }
        Verb => is_full(word) && next_class == Verb && is_full(next_word),
        Numeral => next_class == Article,
        Open => {
            let is_noun = |piece: &Piece<'_>| piece.noun.is_some() && piece.is_lower();
            is_noun(&pieces[at]) && next.is_some_and(is_noun)
        }
        A | Common | Digits | Stop | Mark => false,
    }
}

/// Verbs that help no other verb.
fn is_full(verb: &str) -> bool {
    matches!(
        verb,
        "aparece"
            | "aparecem"
            | "surge"
            | "surgem"
            | "cruza"
            | "cruzam"
            | "atravessa"
            | "atravessam"
            | "permanece"
            | "permanecem"
            | "há"
            | "chega"
            | "chegam"
            | "circula"
            | "circulam"
            | "caminha"
            | "caminham"
    )
}

/// Whether a determiner stands before a noun of another number or gender.
fn disagree(word: &Piece<'_>, next: &Piece<'_>) -> bool {
    let (Some((gender, number)), Some(noun)) = (demands(&word.lower), next.noun) else {
        return false;
    };
    let is_other_number = noun.number != Number::Either && noun.number != number;
    let is_other_gender = gender.is_some() && noun.gender.is_some() && noun.gender != gender;
    is_other_number || is_other_gender
}

/// Capitals inside sentences, sentences that go on in lower case, a text that begins in lower case
/// or ends without a mark although it has both elsewhere.
///
/// The latter three are mere habits of writing by themselves: they count beside a capital in the
/// wrong place, or beside odd neighbours.
fn marks(pieces: &[Piece<'_>], has_odd_neighbours: bool, lexicon: &Lexicon) -> usize {
    let inner = |i: usize| {
        let stop = pieces[i].ends_sentence();
        stop && i > 0 && pieces[i - 1].raw.chars().count() >= SHORTEST_BEFORE_STOP
    };
    let followed = (1..pieces.len().saturating_sub(1)).filter(|i| inner(*i));
    let n_going_on = followed
        .clone()
        .filter(|i| pieces[i + 1].begins_lower())
        .count();
    let n_capitals = (1..pieces.len())
        .filter(|i| is_misplaced_capital(pieces, *i, lexicon))
        .count();
    if n_capitals == 0 && !has_odd_neighbours {
        return 0;
    }
    let first = pieces.iter().find(|piece| piece.is_word());
    let has_lower = pieces.iter().any(Piece::is_lower);
    let has_sentences = n_capitals > 0
        || first.is_some_and(Piece::begins_upper) && has_lower
        || followed.clone().any(|i| pieces[i + 1].begins_upper());
    if !has_sentences {
        return 0;
    }
    let begins_lower = first.is_some_and(Piece::begins_lower);
    let has_stop = pieces.iter().any(Piece::ends_sentence);
    let is_open = pieces
        .last()
        .is_some_and(|last| last.is_word() || last.class == Digits || last.raw == ",");
    n_capitals + n_going_on + usize::from(begins_lower) + usize::from(has_stop && is_open)
}

/// Whether a word that is no name is capitalised behind a word in lower case, a number or a comma.
fn is_misplaced_capital(pieces: &[Piece<'_>], at: usize, lexicon: &Lexicon) -> bool {
    let (before, piece) = (&pieces[at - 1], &pieces[at]);
    let goes_on =
        before.is_word() && before.is_lower() || before.class == Digits || before.raw == ",";
    if !goes_on || !piece.is_capitalised() {
        return false;
    }
    // *São Paulo*, *Banco Central*
    let begins_a_name = pieces.get(at + 1).is_some_and(Piece::begins_upper);
    let is_closed = piece.is_word() && piece.class != Open;
    let is_known = piece.noun.is_some() || is_frequent(&piece.lower, lexicon);
    // *o Banco*, *da Noite*
    let is_named = matches!(before.class, Article | A | Contraction | Preposition);
    !begins_a_name && (is_closed || is_known && !is_named)
}

#[cfg(test)]
#[path = "disorder_tests.rs"]
mod tests;
