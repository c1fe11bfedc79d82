//! Chat templates: Jinja as `transformers` renders it.
//!
//! Blocks are trimmed, `raise_exception` and HF's `tojson` exist, and the Python string methods
//! that published templates use. `strftime_now` does not: a prompt that changes with the date
//! cannot be compared.

use std::io;

use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Environment, Error as JinjaError, ErrorKind, State, context};
use serde::Serialize as _;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::Error;

/// Longest template compiled, in bytes: one takes many times its length then, and published ones
/// have 20,000 at most.
const MAX_BYTES: usize = 1 << 20;

/// Steps a template may take for one message; published ones take some hundreds. A loop within a
/// loop would not come to an end otherwise.
const MAX_STEPS: u64 = 1_000_000;

/// Longest prompt a template may write, in bytes; a model reads a few thousand tokens.
const MAX_PROMPT_BYTES: usize = 16 << 20;

const NAME: &str = "chat_template";

/// A chat template with the special tokens it may print.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    origin: String,
    source: String,
    bos_token: Option<String>,
    eos_token: Option<String>,
}

impl ChatTemplate {
    /// Compiles a template once, to find its syntax errors.
    ///
    /// * `origin`: file it came from, for messages
    ///
    /// # Errors
    /// [`Error::Template`].
    pub fn new(
        origin: &str,
        source: String,
        bos_token: Option<String>,
        eos_token: Option<String>,
    ) -> Result<Self, Error> {
        let template = Self {
            origin: origin.to_owned(),
            source,
            bos_token,
            eos_token,
        };
        if template.source.len() > MAX_BYTES {
            let n = template.source.len();
            let reason = format!("it has {n} bytes, expected at most {MAX_BYTES}");
            return Err(template.failed(JinjaError::new(ErrorKind::InvalidOperation, reason)));
        }
        template.environment()?;
        Ok(template)
    }

    /// File it came from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt of one user message, up to where the answer begins.
    ///
    /// # Errors
    /// [`Error::Template`], also when the template refuses the message itself, does not come to an
    /// end, or writes without end.
    pub fn render(&self, user_text: &str) -> Result<String, Error> {
        let messages = vec![context! { role => "user", content => user_text }];
        let mut prompt = Prompt::default();
        self.environment()?
            .get_template(NAME)
            .and_then(|template| {
                let told = context! {
                    messages,
                    add_generation_prompt => true,
                    bos_token => self.bos_token.as_deref().unwrap_or_default(),
                    eos_token => self.eos_token.as_deref().unwrap_or_default(),
                };
                template.render_captured_to(told, &mut prompt).map(|_| ())
            })
            .and_then(|()| {
                String::from_utf8(prompt.0).map_err(|error| {
                    JinjaError::new(ErrorKind::BadSerialization, "it is not UTF-8")
                        .with_source(error)
                })
            })
            .map_err(|source| self.failed(source))
    }

    fn environment(&self) -> Result<Environment<'_>, Error> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(MAX_STEPS));
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", tojson);
        environment.set_unknown_method_callback(python_method);
        environment
            .add_template(NAME, &self.source)
            .map_err(|source| self.failed(source))?;
        Ok(environment)
    }

    fn failed(&self, source: JinjaError) -> Error {
        Error::Template {
            origin: self.origin.clone(),
            source,
        }
    }
}

/// What a template writes, as far as there is room for it.
#[derive(Debug, Default)]
struct Prompt(Vec<u8>);

impl io::Write for Prompt {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_PROMPT_BYTES {
            let reason = format!("the prompt is longer than {MAX_PROMPT_BYTES} bytes");
            return Err(io::Error::other(reason));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature minijinja calls"
)]
fn raise_exception(message: String) -> Result<Value, JinjaError> {
    Err(JinjaError::new(
        ErrorKind::InvalidOperation,
        format!("the template refused: {message}"),
    ))
}

/// `json.dumps` without escaping of non-ASCII or HTML characters.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature minijinja calls"
)]
fn tojson(value: Value, options: Kwargs) -> Result<Value, JinjaError> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    let result = match indent {
        Some(n) => {
            let spaces = " ".repeat(n);
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced)),
    };
    result.map_err(|error| {
        JinjaError::new(ErrorKind::BadSerialization, "value is not JSON").with_source(error)
    })?;
    Ok(Value::from_safe_string(
        String::from_utf8(bytes).expect("JSON is UTF-8"),
    ))
}

/// Python's separators: `", "` and `": "`.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// The methods of Python's `str` and `dict` that chat templates call.
fn python_method(
    _: &State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, JinjaError> {
    if let Some(text) = value.as_str() {
        return string_method(text, method, args);
    }
    if value.kind() == ValueKind::Map {
        match method {
            "items" => {
                let () = from_args(args)?;
                let pairs = value.try_iter()?.map(|key| {
                    let item = value.get_item(&key)?;
                    Ok(Value::from(vec![key, item]))
                });
                return pairs
                    .collect::<Result<Vec<Value>, JinjaError>>()
                    .map(Value::from);
            }
            "get" => {
                let (key, default): (Value, Option<Value>) = from_args(args)?;
                let item = value.get_item(&key)?;
                let absent = || default.unwrap_or(Value::from(()));
                return Ok(if item.is_undefined() { absent() } else { item });
            }
            _ => {}
        }
    }
    Err(JinjaError::from(ErrorKind::UnknownMethod))
}

fn string_method(text: &str, method: &str, args: &[Value]) -> Result<Value, JinjaError> {
    let stripped = |trim: fn(&str) -> &str, trim_set: fn(&str, &[char]) -> String| {
        let (set,): (Option<&str>,) = from_args(args)?;
        Ok(Value::from(match set {
            None => trim(text).to_owned(),
            Some(set) => trim_set(text, &set.chars().collect::<Vec<_>>()),
        }))
    };
    match method {
        "strip" => stripped(str::trim, |t, set| t.trim_matches(set).to_owned()),
        "lstrip" => stripped(str::trim_start, |t, set| {
            t.trim_start_matches(set).to_owned()
        }),
        "rstrip" => stripped(str::trim_end, |t, set| t.trim_end_matches(set).to_owned()),
        "startswith" => from_args(args).map(|(start,): (&str,)| text.starts_with(start).into()),
        "endswith" => from_args(args).map(|(end,): (&str,)| text.ends_with(end).into()),
        "replace" => from_args(args).map(|(from, to): (&str, &str)| text.replace(from, to).into()),
        "split" => {
            let (separator,): (Option<&str>,) = from_args(args)?;
            let parts: Vec<&str> = match separator {
                None => text.split_whitespace().collect(),
                Some(separator) => text.split(separator).collect(),
            };
            Ok(parts.into_iter().map(str::to_owned).collect())
        }
        "upper" => from_args(args).map(|()| text.to_uppercase().into()),
        "lower" => from_args(args).map(|()| text.to_lowercase().into()),
        "capitalize" => from_args(args).map(|()| {
            let mut letters = text.chars();
            let first = letters.next().map(|c| c.to_uppercase().to_string());
            (first.unwrap_or_default() + &letters.as_str().to_lowercase()).into()
        }),
        _ => Err(JinjaError::from(ErrorKind::UnknownMethod)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &str) {
        let bos = Some("<s>".to_owned());
        let template = ChatTemplate::new("test", source.to_owned(), bos, None).unwrap();
        assert_eq!(template.render(" olá \"x\" ").unwrap(), expected);
    }

    #[test]
    fn one_user_message_is_rendered_with_a_generation_prompt() {
        check(
            "{{ bos_token }}{% for m in messages %}\n  {% if m['role'] == 'user' %}\nUser: {{ m['content'] | trim }}\n{% endif %}\n{% endfor %}\n{% if add_generation_prompt %}\nAssistant: {% endif %}",
            "<s>User: olá \"x\"\nAssistant: ",
        );
    }

    #[test]
    fn a_template_without_end_is_stopped() {
        let loops = "{% for a in range(9999) %}{% for b in range(9999) %}X{% endfor %}{% endfor %}";
        let user = "olá ".repeat(10_000);
        for body in ["", "{{ messages[0].content }}"] {
            let source = loops.replace('X', body);
            let template = ChatTemplate::new("test", source, None, None).unwrap();
            let error = template.render(&user).unwrap_err();
            assert!(error.to_string().contains("test"), "{error}");
        }
    }

    #[test]
    fn python_methods_work() {
        check(
            "{{ messages[0].role.capitalize() }}{{ messages[0].content.strip() }}",
            "Userolá \"x\"",
        );
        check(
            "{{ messages[0].role.startswith('us') }} {{ 'a-b'.split('-')[1] }}",
            "True b",
        );
        check("{{ messages[0].get('name', 'none') }}", "none");
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        check(
            "{{ {'a': [1, 2], 'b': messages[0].content} | tojson }}",
            r#"{"a": [1, 2], "b": " olá \"x\" "}"#,
        );
    }

    #[test]
    fn a_refusal_and_a_syntax_error_are_errors() {
        let make = |source: &str| ChatTemplate::new("test", source.to_owned(), None, None);
        let refusal = make("{{ raise_exception('no system role') }}")
            .unwrap()
            .render("x");
        let source = std::error::Error::source(&refusal.unwrap_err())
            .unwrap()
            .to_string();
        assert!(source.contains("no system role"), "{source}");
        assert!(make("{% if %}").is_err());
    }
}
