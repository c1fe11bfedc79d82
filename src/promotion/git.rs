//! Reads a git repository by running `git`: revisions, single files, what a pull request touches.
//!
//! Nothing is written, no hook runs, nothing is asked of a network or a person.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::durable::shown;
use crate::hint::Hint;

/// A repository with a work tree.
#[derive(Debug, Clone)]
pub struct Repository {
    root: PathBuf,
}

/// A commit by its full object id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit(String);

impl Commit {
    /// All hex digits.
    pub fn id(&self) -> &str {
        &self.0
    }

    /// The first 10 hex digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10.min(self.0.len())]
    }
}

/// A regular file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Path from the top of the repository.
    pub path: String,
    /// Object id of its content.
    object: String,
}

/// Why git did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is missing.
    #[error("cannot run git")]
    NoGit(#[source] io::Error),
    /// The directory belongs to no repository.
    #[error("`{}` is not in a git repository: {said}", shown(.path))]
    NoRepository {
        /// The directory.
        path: PathBuf,
        /// What git said, escaped.
        said: String,
    },
    /// A revision that is not there.
    #[error("there is no commit `{revision}` here")]
    NoRevision {
        /// As it was named, escaped.
        revision: String,
    },
    /// A name of several things: a branch and a tag.
    #[error("`{revision}` names several things here")]
    Ambiguous {
        /// As it was named, escaped.
        revision: String,
    },
    /// Two commits without a common one.
    #[error("{base} and {head} have no common ancestor here")]
    Unrelated {
        /// The first.
        base: String,
        /// The second.
        head: String,
    },
    /// A path that is no regular file in that commit.
    #[error("`{path}` is {found} at {commit}, not a regular file")]
    NotAFile {
        /// The path, escaped.
        path: String,
        /// What stands there.
        found: &'static str,
        /// Which commit.
        commit: String,
    },
    /// A file longer than it may be.
    #[error("`{path}` at {commit} is longer than {limit} bytes")]
    TooLong {
        /// The path, escaped.
        path: String,
        /// Which commit.
        commit: String,
        /// Longest accepted, in bytes.
        limit: u64,
    },
    /// Another failure.
    #[error("`git {command}` failed: {said}")]
    Failed {
        /// The sub-command.
        command: &'static str,
        /// What git said, escaped.
        said: String,
    },
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoGit(_) => "install git, and see that it is on the PATH",
            Self::NoRepository { .. } => "run this inside the repository that holds the manifest",
            Self::NoRevision { .. } => {
                "fetch it first, e.g. `git fetch origin main`; in a shallow clone add \
                 `fetch-depth: 0` to the checkout"
            }
            Self::Ambiguous { .. } => "write its whole name, e.g. `refs/remotes/origin/main`",
            Self::Unrelated { .. } => {
                "the clone may be shallow: run `git fetch --unshallow`, or add `fetch-depth: 0` to \
                 the checkout"
            }
            Self::NotAFile { .. } | Self::TooLong { .. } | Self::Failed { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

impl Repository {
    /// The repository that `directory` belongs to.
    ///
    /// # Errors
    /// [`Error::NoGit`], [`Error::NoRepository`].
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let output = git(directory, &["rev-parse", "--show-toplevel"])?;
        if !output.status.success() {
            return Err(Error::NoRepository {
                path: directory.to_owned(),
                said: said(&output),
            });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(Self {
            root: PathBuf::from(text.trim_end_matches('\n')),
        })
    }

    /// The top of its work tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory with its objects, shared by all its work trees.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn git_directory(&self) -> Result<PathBuf, Error> {
        let output = self.run("rev-parse", &["--git-common-dir"])?;
        let text = String::from_utf8_lossy(&output);
        Ok(self.root.join(text.trim_end_matches('\n')))
    }

    /// The commit a revision names.
    ///
    /// # Errors
    /// [`Error::NoRevision`], [`Error::Ambiguous`].
    pub fn resolve(&self, revision: &str) -> Result<Commit, Error> {
        let missing = || Error::NoRevision {
            revision: revision.escape_debug().to_string(),
        };
        // An option would be obeyed, a range would be another question.
        if revision.is_empty() || revision.starts_with('-') || revision.contains("..") {
            return Err(missing());
        }
        let peeled = format!("{revision}^{{commit}}");
        let output = git(&self.root, &["rev-parse", "--verify", &peeled])?;
        // A tag named like a branch of a remote would win over it.
        if String::from_utf8_lossy(&output.stderr).contains("is ambiguous") {
            return Err(Error::Ambiguous {
                revision: revision.escape_debug().to_string(),
            });
        }
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let is_id = id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if output.status.success() && is_id {
            Ok(Commit(id))
        } else {
            Err(missing())
        }
    }

    /// The best common ancestor.
    ///
    /// # Errors
    /// [`Error::Unrelated`].
    pub fn merge_base(&self, base: &Commit, head: &Commit) -> Result<Commit, Error> {
        let output = git(&self.root, &["merge-base", base.id(), head.id()])?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() && !id.is_empty() {
            Ok(Commit(id))
        } else {
            Err(Error::Unrelated {
                base: base.short().to_owned(),
                head: head.short().to_owned(),
            })
        }
    }

    /// The content of a file at a commit; `None` when nothing stands at that path.
    ///
    /// * `path`: from the top of the repository
    /// * `limit`: longest accepted, in bytes
    ///
    /// # Errors
    /// [`Error::NotAFile`] for links, directories and submodules; [`Error::TooLong`].
    pub fn blob(&self, commit: &Commit, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(file) = self.file(commit, path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        self.content(&file, |content| {
            content.take(limit + 1).read_to_end(&mut bytes).map(drop)
        })?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLong {
                path: path.escape_debug().to_string(),
                commit: commit.short().to_owned(),
                limit,
            });
        }
        Ok(Some(bytes))
    }

    /// The regular file at a path of a commit; `None` when nothing stands there.
    ///
    /// # Errors
    /// [`Error::NotAFile`].
    pub fn file(&self, commit: &Commit, path: &str) -> Result<Option<TreeFile>, Error> {
        let output = self.run("ls-tree", &["-z", "--full-tree", commit.id(), "--", path])?;
        let Some(entry) = tree_entries(&output).find(|entry| entry.path == path) else {
            return Ok(None);
        };
        match entry.mode {
            "100644" | "100755" => Ok(Some(TreeFile {
                path: path.to_owned(),
                object: entry.object.to_owned(),
            })),
            mode => Err(Error::NotAFile {
                path: path.escape_debug().to_string(),
                found: mode_in_words(mode),
                commit: commit.short().to_owned(),
            }),
        }
    }

    /// Every file below a directory of a commit, with its path from the top.
    ///
    /// # Errors
    /// [`Error::NotAFile`] for a link or a submodule among them.
    pub fn files_below(&self, commit: &Commit, directory: &str) -> Result<Vec<TreeFile>, Error> {
        let folder = format!("{}/", directory.trim_end_matches('/'));
        let arguments = ["-r", "-z", "--full-tree", commit.id(), "--", &folder];
        let output = self.run("ls-tree", &arguments)?;
        tree_entries(&output)
            .map(|entry| match entry.mode {
                "100644" | "100755" => Ok(TreeFile {
                    path: entry.path.to_owned(),
                    object: entry.object.to_owned(),
                }),
                mode => Err(Error::NotAFile {
                    path: entry.path.escape_debug().to_string(),
                    found: mode_in_words(mode),
                    commit: commit.short().to_owned(),
                }),
            })
            .collect()
    }

    /// Gives the content of a file to `read`, as it is stored: no filter runs.
    ///
    /// # Errors
    /// [`Error::Failed`], also when `read` does not read to the end of a file git cannot finish.
    ///
    /// # Panics
    /// Never: the output of the child is piped.
    pub fn content(
        &self,
        file: &TreeFile,
        read: impl FnOnce(&mut dyn io::Read) -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut child = command(&self.root)
            .args(["cat-file", "blob", &file.object])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::NoGit)?;
        let mut stdout = child.stdout.take().expect("it is piped");
        let done = read(&mut stdout);
        // Whoever stopped early wants no more of it.
        let is_cut = stdout.read(&mut [0]).unwrap_or(0) > 0;
        drop(stdout);
        let status = child.wait().map_err(Error::NoGit)?;
        let failed = |said: String| Error::Failed {
            command: "cat-file",
            said,
        };
        done.map_err(|error| failed(error.to_string()))?;
        if status.success() || is_cut {
            Ok(())
        } else {
            Err(failed(format!("it ended with {status}")))
        }
    }

    /// Paths that differ between a commit and another one, or the work tree when `to` is `None`;
    /// a renamed file is listed under both names.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn changed_paths(&self, from: &Commit, to: Option<&Commit>) -> Result<Vec<String>, Error> {
        let mut arguments = vec![
            "--name-only",
            "--no-renames",
            "-z",
            "--no-ext-diff",
            from.id(),
        ];
        arguments.extend(to.map(Commit::id));
        arguments.push("--");
        let output = self.run("diff", &arguments)?;
        let mut paths = lines(&output);
        if to.is_none() {
            let new = self.run(
                "ls-files",
                &["--others", "--exclude-standard", "-z", "--full-name"],
            )?;
            paths.extend(lines(&new));
        }
        Ok(paths)
    }

    fn run(&self, command: &'static str, arguments: &[&str]) -> Result<Vec<u8>, Error> {
        let all: Vec<&str> = std::iter::once(command)
            .chain(arguments.iter().copied())
            .collect();
        let output = git(&self.root, &all)?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(Error::Failed {
                command,
                said: said(&output),
            })
        }
    }
}

/// A line of `git ls-tree -z`.
struct Entry<'a> {
    mode: &'a str,
    object: &'a str,
    path: &'a str,
}

/// Entries whose path is UTF-8; nothing this program reads has another.
fn tree_entries(output: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    output
        .split(|byte| *byte == 0)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .filter_map(|line| {
            let (meta, path) = line.split_once('\t')?;
            let mut fields = meta.split(' ');
            let (mode, object) = (fields.next()?, fields.nth(1)?);
            Some(Entry { mode, object, path })
        })
}

fn mode_in_words(mode: &str) -> &'static str {
    match mode {
        "120000" => "a symbolic link",
        "160000" => "a submodule",
        "040000" => "a directory",
        _ => "of an unknown kind",
    }
}

fn lines(output: &[u8]) -> Vec<String> {
    let parts = output
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

fn git(directory: &Path, arguments: &[&str]) -> Result<Output, Error> {
    let output = command(directory).args(arguments).output();
    output.map_err(Error::NoGit)
}

/// `git` in a directory, in one language, without asking, without optional writes.
fn command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(directory)
        .args([
            "-c",
            "core.quotePath=false",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.warnAmbiguousRefs=true",
            "--no-pager",
        ])
        .env("LC_ALL", "C")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_LITERAL_PATHSPECS", "1")
        .env("GIT_NO_LAZY_FETCH", "1")
        .stdin(Stdio::null());
    command
}

/// The first line git complained with, escaped.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().next().unwrap_or("it said nothing");
    line.chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect()
}
