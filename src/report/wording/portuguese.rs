//! Texts in Brazilian Portuguese.

use super::{Cause, HistoryWords, Noun, PlotWords, Words};

pub(super) static WORDS: Words = Words {
    why: "Por quê",
    checks: "Verificações",
    look_first: "Veja primeiro",
    slices: "Recortes",
    costs: "Latência e memória",
    trust: "Dá para confiar?",
    tested: "O que foi testado",
    how_to_read: "Como ler este relatório",
    last_words: "As últimas linhas do processo em stderr",
    watched: "observada",
    no_text: "(sem texto)",
    no_interval: "sem intervalo",
    no_value: "sem valor",
    does_not_count: "Este veredito não vale: um defeito foi plantado de propósito para testar o \
                     portão.",
    all_within: "mostrou-se que cada verificação exigida fica dentro do permitido",
    baseline: "base",
    candidate: "candidato",
    columns: [
        "verificação",
        "base",
        "candidato",
        "mudança [limites de {} %]",
        "n",
        "permitido",
        "resultado",
    ],
    slice_columns: [
        "recorte",
        "métrica",
        "base",
        "candidato",
        "mudança [limites de {} %]",
        "n",
        "certificado",
    ],
    slice_note: "certificado: a maior perda que estas cenas não excluem, qualquer que seja a \
                 distribuição das notas; só para recortes que a política nomeia",
    cost_columns: ["medida", "base", "candidato", "n"],
    cost_note: "menor · mediana · maior das medições de cada modelo",
    outcomes: ["APROVADO", "INCONCLUSIVO", "REPROVADO", "INVÁLIDO"],
    check_outcomes: ["aprovada", "INDECISA", "REPROVADA", "INVÁLIDA"],
    consequences: [
        "pode ser promovido",
        "não foi decidido",
        "não deve ser promovido",
        "não foi julgado",
    ],
    exit: "código de saída",
    no_loss: "sem perda",
    explanation: [
        "cada limite erra a mudança verdadeira com probabilidade de no máximo {} %; as cenas \
         representam a população de que foram tiradas, e nada além dela",
        "aprovado: para cada verificação exigida, a evidência exclui uma perda do tamanho do \
         permitido",
        "reprovado: uma perda foi demonstrada sem que se mostrasse que fica dentro do permitido, \
         ou uma regra foi quebrada",
        "inconclusivo: nada disso pôde ser mostrado; as razões dizem o que decidiria",
        "inválido: a execução não pode ser julgada",
        "verificações observadas são impressas e nunca decidem",
    ],
    references: "referências",
    detections: "detecções",
    none: "nenhuma",
    diff_key: ["só no modelo base", "só no candidato"],
    skip: "Ir para o relatório",
    contents: "Conteúdo",
    figures: "Números deste gráfico",
    scroll: "tabela, rola para os lados",
    again: "para reproduzir",
    rest: "o relatório completo está em report.html e report.json",
    plots: PlotWords {
        intervals: [
            "Mudanças frente ao permitido",
            "Cada barra vai do limite inferior ao superior da mudança, como fração do permitido. \
             Uma verificação é aprovada quando a barra termina antes da linha do permitido.",
        ],
        axis: ["melhor", "sem mudança", "permitido"],
        differences: [
            "Diferenças cena a cena",
            "Candidato menos base em cada cena, em ordem, com o sinal trocado quando menos é \
             melhor: abaixo da linha o candidato é pior. Uma métrica igual em todas as cenas tem \
             números e nenhuma curva.",
        ],
        times: [
            "Distribuições dos tempos",
            "Parcela das medições que levou no máximo esse tempo. Uma curva mais à esquerda é \
             mais rápida.",
        ],
        launches: [
            "Razões por lançamento",
            "Tempo por token do candidato dividido pelo da base, um ponto por lançamento: a média \
             de seus pares.",
        ],
        memory: [
            "Memória por fase",
            "Memória residente de um processo que tem um só modelo; o traço abrange todas as \
             execuções.",
        ],
        slices: [
            "Mudanças por recorte",
            "Mudança média nas cenas de cada recorte, com seus limites. Só um recorte que a \
             política nomeia pode vetar.",
        ],
        phases: [
            "pico após a carga",
            "pico total",
            "anônima no fim",
            "de arquivos no fim",
        ],
        signs: ["melhores", "iguais", "piores"],
        quantiles: ["medida", "modelo", "n", "menor", "mediana", "maior"],
    },
    history: HistoryWords {
        title: "Execuções anteriores",
        columns: ["hora", "veredito", "de", "para", "cenas", "pasta"],
        trends: "Tendência do candidato por métrica",
        trend_columns: ["métrica", "execuções", "último", "menor", "maior"],
        nothing: "nenhum relatório foi encontrado",
        unreadable: "não legíveis como relatórios",
        change: "o nível muda antes da execução de",
        caption: "Valor do candidato em cada execução, na ordem do tempo; pontos vazados são \
                  execuções que não foram aprovadas, uma linha tracejada fica onde o nível muda. \
                  Tempos de máquinas diferentes não se comparam.",
    },
};

/// Singular and plural.
pub(super) fn noun(noun: Noun) -> [&'static str; 2] {
    match noun {
        Noun::Scene | Noun::MoreScene => ["cena", "cenas"],
        Noun::Launch => ["lançamento", "lançamentos"],
        Noun::Pair => ["par", "pares"],
        Noun::Thread => ["thread", "threads"],
        Noun::Output => ["saída", "saídas"],
        Noun::Reference => ["referência", "referências"],
        Noun::Sentinel => ["sentinela", "sentinelas"],
        Noun::Time => ["vez", "vezes"],
    }
}

pub(super) fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Omission => "omissão",
        Cause::Invention => "objeto inventado",
        Cause::Denial => "objeto negado",
        Cause::Count => "contagem errada",
        Cause::Time => "hora errada",
        Cause::Order => "ordem errada",
        Cause::EmptyNotStated => "cena vazia não declarada",
        Cause::Loop => "repetição",
        Cause::Disorder => "palavras sem ordem",
        Cause::Truncation => "texto cortado",
        Cause::Language => "idioma",
        Cause::Empty => "texto vazio",
        Cause::Form => "forma quebrada",
        Cause::Length => "tamanho",
    }
}
