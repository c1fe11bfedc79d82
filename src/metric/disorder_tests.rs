use super::*;
use crate::scene::lexicon::BUILT_IN;

#[track_caller]
fn check(text: &str, n_neighbours: usize, n_marks: usize, is_disordered: bool) {
    let found = Disorder::of(text, &BUILT_IN);
    let expected = (n_neighbours, n_marks, is_disordered);
    let counts = (found.n_neighbours, found.n_marks, found.is_disordered());
    assert_eq!(counts, expected, "{text}");
}

#[track_caller]
fn sound(text: &str) {
    check(text, 0, 0, false);
}

#[track_caller]
fn odd(text: &str) {
    check(text, 1, 0, false);
}

#[test]
fn words_in_random_order_are_disordered() {
    check("passa 00:12 de Um. carro às", 1, 2, true);
    check("uma com pessoas. Às duas e bolsa 00:10 surgem", 1, 2, true);
    // Without capitals and marks the neighbours have to tell.
    check("uma de carro o e pessoa um às", 3, 0, true);
}

#[test]
fn sound_texts_have_no_oddities() {
    for text in [
        "Às 00:10 surgem duas pessoas; um carro passa às 00:30.",
        "O da direita segue um dos carros, e o mostra a uma pessoa.",
        "Um em cada três carros é vermelho. Só há um.",
        "A pessoa vê-o, e o cão persegue-o até as 10h02.",
        "As duas pessoas andam durante, ao todo, 45 segundos.",
        "Na Rua São Paulo, perto do Banco Central, passam 2 ônibus.",
        "Depois, por volta das 2h, nada acontece... nem há ninguém.",
        "Não há pessoas, nem carros, nem motos, nem cães.",
        "dois carros e uma moto passam",
        "DUAS PESSOAS PASSAM. UM CARRO PARA.",
        "Por volta de 1.5 min, uma pessoa de guarda-chuva atravessa a rua.",
        "A câmera do pátio (lado de fora) mostra: um cão, um gato e três pássaros!",
        "",
        "… – 12:00",
    ] {
        sound(text);
    }
}

#[test]
fn every_rule_has_its_oddity() {
    for text in [
        "Um carro passa com.",
        "Passam um, e dois carros.",
        "O de um uma passa.",
        "Vem o para a rua.",
        "Um passa pela rua.",
        "Passa pelo o pátio.",
        "Vem do de fora.",
        "Sai de do pátio.",
        "Sai com e sem mala.",
        "Passa carro e ou moto.",
        "Passa um carro e.",
        "Alguém aparece surge na rua.",
        "Passam dois o tempo todo.",
        "Passa um três vezes.",
        "Passam carro moto ao fundo.",
        "Passa um pessoas na rua.",
        "Passam duas carros na rua.",
        "Passa o motos na rua.",
        "Anda de aparece.",
    ] {
        let found = Disorder::of(text, &BUILT_IN);
        assert!(found.n_neighbours >= 1, "{text}");
        assert_eq!(found.n_marks, 0, "{text}");
    }
    odd("Um carro passa com.");
}

#[test]
fn capitals_and_marks_count_only_together() {
    // Habits of writing by themselves.
    sound("um carro passa. Uma pessoa anda");
    sound("Um carro passa. uma pessoa anda. um cão late");
    sound("Um carro passa. Uma pessoa anda pela");
    // A capital inside a sentence; then the rest counts too.
    check("Um carro passa e Uma pessoa anda.", 0, 1, false);
    check("carro passa e Uma pessoa. anda", 0, 4, true);
    // Names may begin with such words.
    sound("Um carro passa na Noite Branca e pelo Banco do Brasil.");
    sound("Um carro passa em São Luís e na Praça dos Professores.");
}

#[test]
fn long_texts_may_have_a_slip_here_and_there() {
    let sound = "Um carro passa pela rua e uma pessoa espera no ponto de ônibus. ";
    let slips = "Um carro passa com. Uma pessoa sai de do ponto.";
    check(slips, 2, 0, true);
    check(&format!("{}{slips}", sound.repeat(3)), 2, 0, false);
}

#[test]
fn hostile_texts_take_bounded_time() {
    for text in [
        "o ".repeat(8_000),
        "-".repeat(16_000),
        "1:".repeat(8_000),
        "á".repeat(8_000),
    ] {
        let found = Disorder::of(&text, &BUILT_IN);
        assert!(found.n_words <= 8_000);
    }
}
