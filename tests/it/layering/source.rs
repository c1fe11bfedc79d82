//! One source file: the paths it mentions, where they lead, and whether test code mentions them.

use proc_macro2::{Spacing, Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// A source file and everything the rules look at.
pub(super) struct Source {
    /// Path below `src/`, with `/`.
    pub(super) path: String,
    /// Its text.
    pub(super) text: String,
    /// Its module, e.g. `[manifest, wire]`; empty for the roots.
    pub(super) module: Vec<String>,
    /// Paths it mentions, in written order.
    pub(super) imports: Vec<Import>,
}

/// A path mentioned in the source.
#[derive(Debug)]
pub(super) struct Import {
    /// Line, from 1.
    pub(super) line: usize,
    /// Segments; those of a path inside the crate start at its root, without `crate`.
    pub(super) path: Vec<String>,
    /// Whether it leads into this crate.
    pub(super) is_inside: bool,
    /// Whether only test builds contain it.
    pub(super) is_test: bool,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("src/{path}: {error}"));
        let module = module_of(path);
        let mut source = Self {
            path: path.to_owned(),
            text: text.to_owned(),
            module,
            imports: Vec::new(),
        };
        let mut collector = Collector {
            module: source.module.clone(),
            test_depth: usize::from(source.is_test_file()),
            imports: Vec::new(),
        };
        collector.visit_file(&file);
        source.imports = collector.imports;
        source
    }

    /// The top-level module it belongs to; `main` for the binary, `lib` for the root.
    pub(super) fn stage(&self) -> &str {
        let root = self.path.trim_end_matches(".rs");
        self.module.first().map_or(root, String::as_str)
    }

    /// Whether only test builds contain it.
    pub(super) fn is_test_file(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.ends_with("_tests.rs")
            || self.path.contains("/tests/")
    }

    /// Lines of the words for which `wanted` holds, given the word and the mark after it.
    pub(super) fn lines_of(
        &self,
        wanted: impl Fn(&str, Option<char>) -> bool + Copy,
    ) -> Vec<usize> {
        let tokens: TokenStream = self.text.parse().expect("it was parsed before");
        let mut lines = Vec::new();
        walk(tokens, wanted, &mut lines);
        lines
    }
}

fn walk(
    tokens: TokenStream,
    wanted: impl Fn(&str, Option<char>) -> bool + Copy,
    lines: &mut Vec<usize>,
) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let next = tokens.peek().and_then(|next| match next {
            TokenTree::Punct(mark) => Some(mark.as_char()),
            _ => None,
        });
        match token {
            TokenTree::Group(group) => walk(group.stream(), wanted, lines),
            TokenTree::Ident(word) if wanted(&word.to_string(), next) => {
                lines.push(word.span().start().line);
            }
            _ => {}
        }
    }
}

/// Names of the modules a root declares, in written order.
pub(super) fn modules(text: &str) -> Vec<String> {
    let file = syn::parse_file(text).expect("the root parses");
    let name = |item: &syn::Item| match item {
        syn::Item::Mod(module) => Some(module.ident.to_string()),
        _ => None,
    };
    file.items.iter().filter_map(name).collect()
}

fn module_of(path: &str) -> Vec<String> {
    // `x_tests.rs` is the module `tests` of `x`, by a path attribute.
    let path = path.replace("_tests.rs", "/tests.rs");
    let plain = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let segments = plain.split('/').map(str::to_owned);
    if matches!(plain, "lib" | "main") {
        Vec::new()
    } else {
        segments.collect()
    }
}

struct Collector {
    module: Vec<String>,
    test_depth: usize,
    imports: Vec<Import>,
}

impl Collector {
    /// Notes a path as written, once it is known where it leads.
    fn note(&mut self, segments: &[String], span: Span) {
        let line = span.start().line;
        let is_test = self.test_depth > 0;
        let resolved = match segments.first().map(String::as_str) {
            Some("crate" | "vv_eval") => Some(segments[1..].to_vec()),
            Some("self") => Some([&self.module, &segments[1..]].concat()),
            Some("super") => {
                let n = segments
                    .iter()
                    .take_while(|segment| *segment == "super")
                    .count();
                let kept = self.module.len().saturating_sub(n);
                Some([&self.module[..kept], &segments[n..]].concat())
            }
            _ => None,
        };
        let is_inside = resolved.is_some();
        let path = resolved.unwrap_or_else(|| segments.to_vec());
        if !path.is_empty() {
            self.imports.push(Import {
                line,
                path,
                is_inside,
                is_test,
            });
        }
    }

    fn use_tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &dyn ToString| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) if name.ident == "self" => self.note(before, name.span()),
            syn::UseTree::Name(name) => self.note(&with(&name.ident), name.span()),
            syn::UseTree::Rename(rename) => self.note(&with(&rename.ident), rename.span()),
            syn::UseTree::Glob(glob) => self.note(&with(&"*"), glob.span()),
            syn::UseTree::Group(group) => {
                group
                    .items
                    .iter()
                    .for_each(|tree| self.use_tree(tree, before));
            }
        }
    }

    /// Paths inside the arguments of a macro, which are tokens only.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut start = Span::call_site();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) => {
                    if colons != 2 {
                        self.flush(&mut path, start);
                    }
                    if path.is_empty() {
                        start = word.span();
                    }
                    path.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => {
                    let is_second = colons == 1;
                    colons = if is_second || mark.spacing() == Spacing::Joint {
                        colons + 1
                    } else {
                        0
                    };
                }
                other => {
                    self.flush(&mut path, start);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.flush(&mut path, start);
    }

    fn flush(&mut self, path: &mut Vec<String>, start: Span) {
        if path.len() > 1 {
            self.note(path, start);
        }
        path.clear();
    }

    fn inside(&mut self, attributes: &[syn::Attribute], visit: impl FnOnce(&mut Self)) {
        let deeper = usize::from(attributes.iter().any(is_for_tests));
        self.test_depth += deeper;
        visit(self);
        self.test_depth -= deeper;
    }
}

/// Whether an attribute is `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_for_tests(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else {
        return false;
    };
    let condition = list.tokens.to_string().replace(' ', "");
    list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        self.inside(attributes(item), |collector| {
            visit::visit_item(collector, item);
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.inside(&item.attrs, |collector| {
            visit::visit_impl_item_fn(collector, item);
        });
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let segments: Vec<String> = path
                .segments
                .iter()
                .map(|segment| segment.ident.to_string())
                .collect();
            self.note(&segments, path.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in crate::x)` opens a door outwards; it imports nothing.
    }
}
