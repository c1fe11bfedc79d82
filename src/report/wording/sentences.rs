//! Sentences of the gate in Portuguese.
//!
//! A report stores its reasons in English, because whoever recomputes a verdict compares them byte
//! for byte. Here each form of a sentence stands beside its translation.

/// Forms of sentences: English, Portuguese. `{}` is a number, whose decimal mark changes; `{w}` a
/// word of [`WORDS`]; `{=}` anything, taken over as it is; `{s}` further sentences, between `; `. The places keep their order.
///
/// A form that fits more than one sentence stands after those that fit fewer.
const SENTENCES: &[[&str; 2]] = &[
    [
        "{=} {w} by {} ({} % bounds {} to {}, {} {w}); at most {} are allowed",
        "{=} {w} {} (limites de {} %: {} a {}, {} {w}); o máximo permitido é {}",
    ],
    [
        "{=} {w} by {} ({} % bounds {} to {}, {} {w}); it is worse for certain and not shown to \
         stay within {}",
        "{=} {w} {} (limites de {} %: {} a {}, {} {w}); é pior com certeza, e não se mostrou que \
         fica dentro de {}",
    ],
    [
        "{=} {w} by {} on these {} {w}; at most {} are allowed",
        "{=} {w} {} nestas {} {w}; o máximo permitido é {}",
    ],
    [
        "{} of {} scenes fell apart ({} % bounds {} to {}, {} {w}); at most {} % may",
        "{} de {} cenas desmoronaram (limites de {} %: {} a {}, {} {w}); no máximo {} % podem",
    ],
    [
        "{} of {} scenes fell apart; at most {} % may",
        "{} de {} cenas desmoronaram; no máximo {} % podem",
    ],
    [
        "{=}: the change lies between {} and {} ({} % bounds, {} {w}); {w} to {} is allowed",
        "{=}: a mudança está entre {} e {} (limites de {} %, {} {w}); {w} até {} é permitido",
    ],
    [
        "{=} is worse for certain ({} % bounds {} to {}, {} {w}), but within the allowance",
        "{=} é pior com certeza (limites de {} %: {} a {}, {} {w}), mas dentro do permitido",
    ],
    [
        "about {} more {w} would settle it (≈ {} {w} here)",
        "cerca de {} {w} a mais decidiriam (≈ {} {w} aqui)",
    ],
    [
        "about {} more {w} would settle it",
        "cerca de {} {w} a mais decidiriam",
    ],
    [
        "the effect sits at the margin; no affordable sample decides it",
        "o efeito está na margem; nenhuma amostra viável decide",
    ],
    [
        "the share of collapsed scenes is too near the margin for any affordable sample",
        "a parcela de cenas que desmoronaram está perto demais da margem para qualquer amostra \
         viável",
    ],
    [
        "{=} has a value in both roles on {} scenes, fewer than the {} it takes to decide",
        "{=} tem valor nos dois modelos em {} cenas, menos que as {} necessárias para decidir",
    ],
    [
        "{=} has no value in both roles on any scene",
        "{=} não tem valor nos dois modelos em nenhuma cena",
    ],
    [
        "{=} is above zero in both roles on no scene",
        "{=} não fica acima de zero nos dois modelos em nenhuma cena",
    ],
    [
        "{=} has no value on any scene",
        "{=} não tem valor em nenhuma cena",
    ],
    [
        "{=} has no value on {} scenes",
        "{=} não tem valor em {} cenas",
    ],
    [
        "{=}: {} of {} outputs are valid, at least {} must be",
        "{=}: {} de {} saídas são válidas, o mínimo é {}",
    ],
    [
        "{=} fell from {} to {} of {} outputs; no loss is allowed",
        "{=} caiu de {} para {} em {} saídas; nenhuma perda é permitida",
    ],
    [
        "{=} was not measured, or is 0",
        "{=} não foi medido, ou é 0",
    ],
    [
        "{=} was measured in {} runs, fewer than the {} it takes to decide",
        "{=} foi medido em {} execuções, menos que as {} necessárias para decidir",
    ],
    [
        "{=} of the {w} varies from {} to {} between runs, too much to decide",
        "{=} do modelo {w} varia de {} a {} entre execuções, demais para decidir",
    ],
    [
        "{=} rose from {} to {} ({} runs); at most {} are allowed",
        "{=} subiu de {} para {} ({} execuções); o máximo permitido é {}",
    ],
    [
        "{=}: {} to {} in {} runs, and {} are allowed: the runs straddle the limit",
        "{=}: {} a {} em {} execuções, e o permitido é {}: as execuções ficam dos dois lados do \
         limite",
    ],
    [
        "{=} cannot be compared: the tokenizers differ, so the roles cannot be fed the same tokens",
        "{=} não pode ser comparado: os tokenizadores diferem, e os modelos não podem receber os \
         mesmos tokens",
    ],
    [
        "{=} was not measured: no launches",
        "{=} não foi medido: nenhum lançamento",
    ],
    [
        "{=}: a launch has no pairs",
        "{=}: um lançamento não tem pares",
    ],
    [
        "{=} has {} launches, fewer than the {} it takes to decide",
        "{=} tem {} lançamentos, menos que os {} necessários para decidir",
    ],
    [
        "{=} has no interval: all launches agree to the last digit, so the clock is too coarse or \
         the times are not real",
        "{=} não tem intervalo: todos os lançamentos coincidem até o último dígito; o relógio é \
         grosso demais ou os tempos não são reais",
    ],
    [
        "the tokenizers differ: {=} in the baseline and {=} in the candidate",
        "os tokenizadores diferem: {=} no modelo atual e {=} no candidato",
    ],
    [
        "no text was read by both models",
        "nenhum texto foi lido pelos dois modelos",
    ],
    [
        "next-token distributions were not compared; the notes of the run say why",
        "as distribuições do próximo token não foram comparadas; as notas da execução dizem por quê",
    ],
    [
        "{} tokens are too few for a quantile",
        "{} tokens são poucos para um quantil",
    ],
    ["one process per role", "um só processo por modelo"],
    ["too few loads", "cargas de menos"],
    ["the {w} failed", "o modelo {w} falhou"],
    [
        "the {w} {w} in the {w} pass at scene {=}: {=}",
        "o modelo {w} {w} na etapa {w}, na cena {=}: {=}",
    ],
    [
        "the {w} {w} in the {w} pass: {=}",
        "o modelo {w} {w} na etapa {w}: {=}",
    ],
    [
        "identical artifacts: both roles have the same files, byte for byte",
        "artefatos idênticos: os dois modelos têm os mesmos arquivos, byte a byte",
    ],
    [
        "a harm was planted on purpose ({=}); no such run is judged",
        "um defeito foi plantado de propósito ({=}); uma execução assim não é julgada",
    ],
    [
        "the policy is not usable: {=}",
        "a política não pode ser usada: {=}",
    ],
    [
        "the scene {w} is {=}, the policy demands {=}",
        "{w} das cenas é {=}, a política exige {=}",
    ],
    // Sentinels, slices, limits and waivers.
    ["sentinel {=} is {w}: {=}", "a sentinela {=} {w}: {=}"],
    [
        "sentinels of {=} are demanded and were not run",
        "as sentinelas de {=} são exigidas e não foram executadas",
    ],
    [
        "sentinel {=} is exempt and not in {=}",
        "a sentinela {=} está dispensada e não existe em {=}",
    ],
    [
        "the {w} of the sentinels is {=}, the policy demands {=}",
        "{w} das sentinelas é {=}, a política exige {=}",
    ],
    [
        "the run has no sentinel",
        "a execução não tem nenhuma sentinela",
    ],
    [
        "sentinel {=} was not run by the {w}",
        "a sentinela {=} não foi executada pelo modelo {w}",
    ],
    [
        "{=} has no value for sentinel {=} of the {w}",
        "{=} não tem valor para a sentinela {=} do modelo {w}",
    ],
    [
        "slice {=}: {=} has a value on {} scenes, too few to see a loss",
        "recorte {=}: {=} tem valor em {} cenas, poucas para ver uma perda",
    ],
    [
        "slice {=}: {=} {w} by {} on {} {w}, shown to be a loss and at least twice what is allowed \
         ({})",
        "recorte {=}: {=} {w} {} em {} {w}; a perda está demonstrada e é pelo menos o dobro do \
         permitido ({})",
    ],
    [
        "slice {=}: {=} {w} by {} on {} {w}, shown to be a loss and at least what is waived until \
         {=} ({})",
        "recorte {=}: {=} {w} {} em {} {w}; a perda está demonstrada e atinge o que foi dispensado \
         até {=} ({})",
    ],
    [
        "slice {=} has {} scenes, the policy demands {}",
        "o recorte {=} tem {} cenas, a política exige {}",
    ],
    [
        "{=} has no value to hold against its limit",
        "{=} não tem valor para comparar com o seu limite",
    ],
    [
        "{=} of the candidate is {}; at least {} is demanded",
        "{=} do candidato é {}; no mínimo {} é exigido",
    ],
    [
        "{=} of the candidate is {}; at most {} is demanded",
        "{=} do candidato é {}; no máximo {} é exigido",
    ],
    [
        "waiver: {=} in slice {=} may lose up to {} until {=} ({w}): {=} (approved by {=})",
        "dispensa: {=} no recorte {=} pode perder até {} até {=} ({w}): {=} (aprovada por {=})",
    ],
    [
        "waiver: {=} may lose up to {} until {=} ({w}): {=} (approved by {=})",
        "dispensa: {=} pode perder até {} até {=} ({w}): {=} (aprovada por {=})",
    ],
    [
        "waived until {=} up to {}",
        "dispensada até {=}, no máximo {}",
    ],
    [
        "the run's orders and coin flips do not follow from the policy it is judged by: it was \
         planned under another one, or its seed was chosen",
        "as ordens e os sorteios da execução não seguem da política pela qual é julgada: foi \
         planejada sob outra, ou sua semente foi escolhida",
    ],
    // What a pull request edits of its own trial.
    [
        "this pull request also edits {=} and {} more: it was judged by the copies at {=}",
        "este pull request também altera {=} e mais {}: foi julgado pelas cópias em {=}",
    ],
    [
        "this pull request also edits {=}: it was judged by the copies at {=}",
        "este pull request também altera {=}: foi julgado pelas cópias em {=}",
    ],
    [
        "it edits `.github/`: if the job ran that copy of the workflow, this verdict is its word",
        "ele altera `.github/`: se o job usou essa cópia do workflow, este veredito é a palavra dela",
    ],
    // What the machine or the pairs do not allow.
    [
        "{=} would {w}, but the machine does not allow it: {s}",
        "{=} seria {w}, mas a máquina não o permite: {s}",
    ],
    [
        "another run on a quieter machine would settle it; `vv-eval doctor` says what to change",
        "outra execução em uma máquina mais calma decidiria; `vv-eval doctor` diz o que mudar",
    ],
    [
        "another run on a quieter machine would settle it",
        "outra execução em uma máquina mais calma decidiria",
    ],
    [
        "only {} of a worker's arenas lay on huge pages, {} are needed",
        "só {} das arenas de um processo estavam em páginas grandes, são precisos {}",
    ],
    [
        "the waiting worker used {} of the other's time, at most {} may be",
        "o processo em espera usou {} do tempo do outro, no máximo {} podem ser",
    ],
    [
        "{=}: the baseline beside itself differs by {} ({} % interval {} to {}, {} {w})",
        "{=}: a base ao lado de si mesma difere em {} (intervalo de {} %: {} a {}, {} {w})",
    ],
    [
        "the hypervisor took {} of the CPU time, at most {} may be",
        "o hipervisor tomou {} do tempo de CPU, no máximo {} podem ser",
    ],
    [
        "the container's CPU quota was used up in {} of the segments, at most {} may be",
        "a cota de CPU do contêiner se esgotou em {} dos segmentos, no máximo {} podem ser",
    ],
    [
        "{} pages were read back from swap while times were taken",
        "{} páginas voltaram do swap enquanto os tempos eram medidos",
    ],
    [
        "a segment had {} page faults from the disk, at most {} may be",
        "um segmento teve {} faltas de página do disco, no máximo {} podem ser",
    ],
    [
        "{} of {} launches had to be repeated, at most {} may be",
        "{} de {} lançamentos tiveram de ser repetidos, no máximo {} podem ser",
    ],
    [
        "{=}: whoever goes second takes {} longer, more than coin flips make up for",
        "{=}: quem vem em segundo leva {} a mais, além do que o sorteio da ordem compensa",
    ],
    [
        "{=} comes from {} cameras, fewer than the {} it takes to decide",
        "{=} vem de {} câmeras, menos que as {} necessárias para decidir",
    ],
    [
        "{=}: the machine drifted: the first and the second half of the launches differ (t = {})",
        "{=}: a máquina mudou de ritmo: a primeira e a segunda metade dos lançamentos diferem \
         (t = {})",
    ],
    [
        "a first promotion has no baseline: the candidate is measured beside itself only",
        "uma primeira promoção não tem base: o candidato só é medido ao lado de si mesmo",
    ],
    [
        "first promotion: there is no baseline, so only limits were checked, on the candidate alone",
        "primeira promoção: não há base, por isso só limites foram verificados, no candidato apenas",
    ],
    // Notes of a text.
    [
        "length: {} of the references",
        "tamanho: {} das referências",
    ],
    ["form: {w}", "forma: {w}"],
    ["contract: {=}", "contrato: {=}"],
    [
        "{w}: `{=}` says {}, the scene allows {}",
        "{w}: `{=}` diz {}, a cena admite {}",
    ],
    ["{w}: `{=}` says {}", "{w}: `{=}` diz {}"],
    ["{w}: `{=}` {=}", "{w}: `{=}` {=}"],
    ["{w}: `{=}`", "{w}: `{=}`"],
    ["{w}: {=}", "{w}: {=}"],
    ["{w}:", "{w}"],
];

/// Words that stand inside sentences.
const WORDS: &[[&str; 2]] = &[
    ["s", "s"],
    ["min", "min"],
    ["h", "h"],
    ["fell", "caiu"],
    ["rose", "subiu"],
    ["up", "subir"],
    ["down", "cair"],
    ["scenes", "cenas"],
    ["launches", "lançamentos"],
    ["runs", "execuções"],
    ["baseline", "base"],
    ["candidate", "candidato"],
    ["crashed", "caiu"],
    ["hung and was killed", "travou e foi encerrado"],
    ["ran out of memory", "ficou sem memória"],
    [
        "computed logits that are not finite",
        "calculou logits que não são finitos",
    ],
    ["could not take the prompt", "não pôde receber o prompt"],
    ["could not be loaded", "não pôde ser carregado"],
    ["load", "de carga"],
    ["memory", "de memória"],
    ["outputs", "de saídas"],
    ["latency", "de latência"],
    ["likelihood", "de verossimilhança"],
    ["set", "o nome do conjunto"],
    ["version", "a versão do conjunto"],
    ["digest", "o digest do conjunto"],
    ["lexicon", "o léxico"],
    ["lost", "foi perdida"],
    ["not held", "não é cumprida"],
    ["pass", "aprovada"],
    ["fail", "reprovada"],
    ["in use", "em uso"],
    ["not enough", "não basta"],
    ["not needed: remove it", "não é necessária: remova-a"],
    ["not judged in this run", "não julgada nesta execução"],
    [
        "expired, so it does not count",
        "vencida, por isso não conta",
    ],
    ["missing", "falta"],
    ["hallucination", "inventado"],
    ["contradiction", "negado"],
    ["count", "contagem"],
    ["time", "hora"],
    ["order", "ordem"],
    ["empty_not_stated", "cena vazia não declarada"],
    ["loop", "repetição"],
    ["disorder", "palavras sem ordem"],
    ["truncated", "texto cortado"],
    ["too_long", "longo demais"],
    ["empty", "vazio"],
    ["encoding", "codificação"],
    ["echo", "eco da entrada"],
    ["not portuguese", "não é português"],
    ["contract", "contrato"],
];

/// Sentences that one text may hold: a reason, what is waived of it, what would settle it.
const MOST_JOINED: usize = 3;
/// Places at which a text is parted at most; texts of a model or a worker may hold any number.
const MOST_PLACES: usize = 16;

/// The sentence in Portuguese; `None` when its form is not known.
pub(super) fn portuguese(text: &str) -> Option<String> {
    joined(text, MOST_JOINED)
}

/// Up to `most` sentences, one after the other.
fn joined(text: &str, most: usize) -> Option<String> {
    let parted = || {
        let mut places = text.rmatch_indices("; ").take(MOST_PLACES);
        places.find_map(|(at, mark)| {
            let last = whole(&text[at + mark.len()..])?;
            Some(format!("{}; {last}", joined(&text[..at], most - 1)?))
        })
    };
    whole(text).or_else(|| (most > 1).then(parted).flatten())
}

/// As [`portuguese`], for a sentence that is not two.
fn whole(text: &str) -> Option<String> {
    let mut forms = SENTENCES.iter();
    forms.find_map(|[english, portuguese]| fill(portuguese, &captures(english, text)?))
}

/// A word in Portuguese.
pub(super) fn word(english: &str) -> Option<&'static str> {
    let mut words = WORDS.iter();
    words.find_map(|[known, portuguese]| (*known == english).then_some(*portuguese))
}

/// Numbers with decimal commas; points of versions, which have two or stand in words, are kept.
pub(super) fn decimal_commas(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    for (i, &c) in chars.iter().enumerate() {
        let number = |range: &mut dyn Iterator<Item = usize>| {
            // How far digits reach from the point, and what stands behind them.
            let mut n = 0;
            for at in range {
                match chars.get(at) {
                    Some(c) if c.is_ascii_digit() => n += 1,
                    other => return (n, other.copied()),
                }
            }
            (n, None)
        };
        let is_mark = c == '.' && {
            let (before, left) = number(&mut (0..i).rev());
            let (after, right) = number(&mut (i + 1..=chars.len()));
            // A point behind the digits ends a sentence, or it is a version's.
            let behind = chars.get(i + after + 2);
            let is_version = right == Some('.') && behind.is_some_and(char::is_ascii_digit);
            let is_power = right == Some('e') && behind.is_some_and(|c| matches!(c, '-' | '+'));
            let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
            let ends_right = ends(right) || is_power;
            before > 0 && after > 0 && ends(left) && left != Some('.') && ends_right && !is_version
        };
        out.push(if is_mark { ',' } else { c });
    }
    out
}

/// A part of a form.
#[derive(Clone, Copy, PartialEq)]
enum Part<'a> {
    Text(&'a str),
    Number,
    Word,
    Sentences,
    Anything,
}

fn parts(form: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = form;
    while !rest.is_empty() {
        let marks = [
            ("{}", Part::Number),
            ("{w}", Part::Word),
            ("{s}", Part::Sentences),
            ("{=}", Part::Anything),
        ];
        let next = marks
            .into_iter()
            .filter_map(|(mark, part)| Some((rest.find(mark)?, mark.len(), part)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, length, part)) = next else {
            parts.push(Part::Text(rest));
            break;
        };
        if at > 0 {
            parts.push(Part::Text(&rest[..at]));
        }
        parts.push(part);
        rest = &rest[at + length..];
    }
    parts
}

/// What the places of `form` hold in `text`, translated; `None` when it has another form.
fn captures(form: &str, text: &str) -> Option<Vec<String>> {
    let parts = parts(form);
    let mut found = Vec::new();
    let mut rest = text;
    for (i, part) in parts.iter().enumerate() {
        if let Part::Text(literal) = part {
            rest = rest.strip_prefix(literal)?;
            continue;
        }
        let end = match parts.get(i + 1) {
            // The last literal ends the text, wherever else it may stand.
            Some(Part::Text(literal)) if i + 2 == parts.len() => rest.strip_suffix(literal)?.len(),
            Some(Part::Text(literal)) => rest.find(literal)?,
            _ => rest.len(),
        };
        let held = &rest[..end];
        found.push(match part {
            Part::Word => word(held)?.to_owned(),
            Part::Number => number(held)?,
            Part::Sentences => {
                let each: Option<Vec<String>> = held.split("; ").map(whole).collect();
                each?.join("; ")
            }
            Part::Anything if held.is_empty() => return None,
            Part::Anything | Part::Text(_) => held.to_owned(),
        });
        rest = &rest[end..];
    }
    rest.is_empty().then_some(found)
}

/// A number with its unit, or a claim of a text that begins like one; `None` for anything else.
fn number(text: &str) -> Option<String> {
    let begins = text.trim_start_matches(['−', '+', '-']);
    let is_number = begins.starts_with(|c: char| c.is_ascii_digit());
    let is_claim = !text.is_empty() && !text.contains(['`', ';']);
    (is_number || is_claim).then(|| {
        decimal_commas(text)
            .replace(" points", " pontos")
            .replace(" to ", " a ")
            .replace(" or more", " ou mais")
            .replace(" or ", " ou ")
            .replace(" before ", " antes de ")
    })
}

/// `form` with its places filled, in their order.
fn fill(form: &str, held: &[String]) -> Option<String> {
    let mut held = held.iter();
    let mut out = String::new();
    for part in parts(form) {
        match part {
            Part::Text(literal) => out.push_str(literal),
            _ => out.push_str(held.next()?),
        }
    }
    held.next().is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(english: &str, expected: &str) {
        assert_eq!(portuguese(english).as_deref(), Some(expected));
    }

    #[test]
    fn forms_and_their_translations_have_the_same_places() {
        for [english, portuguese] in SENTENCES {
            let places = |form| {
                let parts = parts(form).into_iter();
                parts
                    .filter(|part| !matches!(part, Part::Text(_)))
                    .collect::<Vec<_>>()
            };
            assert!(places(english) == places(portuguese), "{english}");
        }
    }

    #[test]
    fn reasons_of_the_gate_are_translated() {
        check(
            "object_recall fell by 25.0 points (95 % bounds −30.4 to −19.6, 60 scenes); at most \
             5.0 points are allowed",
            "object_recall caiu 25,0 pontos (limites de 95 %: −30,4 a −19,6, 60 cenas); o máximo \
             permitido é 5,0 pontos",
        );
        check(
            "fact_ok: the change lies between −6.1 and +2.0 points (95 % bounds, 60 scenes); down \
             to −5.0 points is allowed; about 70 more scenes would settle it",
            "fact_ok: a mudança está entre −6,1 e +2,0 pontos (limites de 95 %, 60 cenas); cair \
             até −5,0 pontos é permitido; cerca de 70 cenas a mais decidiriam",
        );
        check(
            "the candidate crashed in the outputs pass at scene scene-07: signal 11",
            "o modelo candidato caiu na etapa de saídas, na cena scene-07: signal 11",
        );
        check(
            "peak_bytes rose from 100.0 MiB to 120.0 MiB (3 runs); at most 104.0 MiB are allowed",
            "peak_bytes subiu de 100,0 MiB para 120,0 MiB (3 execuções); o máximo permitido é \
             104,0 MiB",
        );
        check(
            "cpu_ms_per_token would pass, but the machine does not allow it: the hypervisor took \
             3.0 % of the CPU time, at most 2.0 % may be; 12 pages were read back from swap while \
             times were taken; another run on a quieter machine would settle it; `vv-eval doctor` \
             says what to change",
            "cpu_ms_per_token seria aprovada, mas a máquina não o permite: o hipervisor tomou 3,0 % \
             do tempo de CPU, no máximo 2,0 % podem ser; 12 páginas voltaram do swap enquanto os \
             tempos eram medidos; outra execução em uma máquina mais calma decidiria; `vv-eval \
             doctor` diz o que mudar",
        );
        check(
            "slice night: fact_ok fell by 24.5 points on 80 scenes, shown to be a loss and at \
             least twice what is allowed (5.0 points)",
            "recorte night: fact_ok caiu 24,5 pontos em 80 cenas; a perda está demonstrada e é pelo \
             menos o dobro do permitido (5,0 pontos)",
        );
        check(
            "slice night: fact_ok fell by 24.5 points on 80 scenes, shown to be a loss and at \
             least what is waived until 2027-01-31 (12.0 points)",
            "recorte night: fact_ok caiu 24,5 pontos em 80 cenas; a perda está demonstrada e atinge \
             o que foi dispensado até 2027-01-31 (12,0 pontos)",
        );
        check(
            "sentinel s-03 is lost: missing: truck",
            "a sentinela s-03 foi perdida: missing: truck",
        );
        check(
            "fact_ok of the candidate is 82.0 %; at least 90.0 % is demanded",
            "fact_ok do candidato é 82,0 %; no mínimo 90,0 % é exigido",
        );
        check(
            "the scene version is 1.0.0, the policy demands 1.1",
            "a versão do conjunto das cenas é 1.0.0, a política exige 1.1",
        );
    }

    #[test]
    fn what_is_told_first_is_translated() {
        check(
            "waiver: chrf_pp may lose up to 12.5 points until 2027-01-31 (in use): style (approved \
             by Ana)",
            "dispensa: chrf_pp pode perder até 12,5 pontos até 2027-01-31 (em uso): style \
             (aprovada por Ana)",
        );
        check(
            "waiver: fact_ok in slice night may lose up to 12 points until 2027-01-31 (not judged \
             in this run): new camera (approved by Ana, #212)",
            "dispensa: fact_ok no recorte night pode perder até 12 pontos até 2027-01-31 (não \
             julgada nesta execução): new camera (aprovada por Ana, #212)",
        );
        check(
            "object_recall fell by 25.0 points (95 % bounds −30.4 to −19.6, 60 scenes); at most \
             20.0 points are allowed; waived until 2027-01-31 up to 20 points",
            "object_recall caiu 25,0 pontos (limites de 95 %: −30,4 a −19,6, 60 cenas); o máximo \
             permitido é 20,0 pontos; dispensada até 2027-01-31, no máximo 20 pontos",
        );
        check(
            "this pull request also edits `gate.toml`, `a` and 3 more: it was judged by the copies \
             at 0123abc",
            "este pull request também altera `gate.toml`, `a` e mais 3: foi julgado pelas cópias em \
             0123abc",
        );
        check(
            "this pull request also edits `gate.toml`: it was judged by the copies at 0123abc",
            "este pull request também altera `gate.toml`: foi julgado pelas cópias em 0123abc",
        );
    }

    #[test]
    fn a_text_of_many_parts_is_given_up_soon() {
        let text = "missing: truck; ".repeat(50_000);
        assert!(portuguese(&text).is_some(), "the whole is one note");
        assert_eq!(portuguese(&"x; ".repeat(50_000)), None);
    }

    #[test]
    fn notes_of_texts_are_translated() {
        check("missing: truck", "falta: truck");
        check("form: loop", "forma: repetição");
        check(
            "count: `três` says 3, the scene allows 2",
            "contagem: `três` diz 3, a cena admite 2",
        );
        check(
            "time: `às 00:50` says 50 s, the scene allows 8 to 42.5 s",
            "hora: `às 00:50` diz 50 s, a cena admite 8 a 42,5 s",
        );
        check(
            "count: `ônibus` says 2, the scene allows 3 or more",
            "contagem: `ônibus` diz 2, a cena admite 3 ou mais",
        );
        check(
            "order: `depois` says car before bus, the scene allows bus before car",
            "ordem: `depois` diz car antes de bus, a cena admite bus antes de car",
        );
        check("empty_not_stated:", "cena vazia não declarada");
    }

    #[test]
    fn what_is_not_known_is_left_alone() {
        assert_eq!(portuguese("the moon is full"), None);
        assert_eq!(portuguese(""), None);
        assert_eq!(portuguese("the moon crashed in the outputs pass: x"), None);
    }

    #[test]
    fn only_decimal_points_become_commas() {
        assert_eq!(
            decimal_commas("−25.0 pt [−30.4, −19.6]"),
            "−25,0 pt [−30,4, −19,6]"
        );
        assert_eq!(decimal_commas("1.2.0 v1.2 12.5."), "1.2.0 v1.2 12,5.");
        assert_eq!(decimal_commas("no points."), "no points.");
        assert_eq!(decimal_commas("2.3e-5 nats, 1.2e"), "2,3e-5 nats, 1.2e");
    }
}
