//! A process that opens pools: one that a pool brings down is an answer like another.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::contents::Contents;
use crate::inspect;

/// The word that makes the program a checker.
pub const COMMAND: &str = "check";

/// Ends the list of keys.
const END: &str = "end";
/// Begins the line that says why there is none.
const REFUSED: &str = "refused ";

/// What the checker is asked of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What it holds.
    Contents,
    /// The same, and whether the pool can be used from there on.
    AndGoOn,
    /// What a pool holds whose making was cut short: nothing, unless it is refused.
    Unfinished,
}

impl Ask {
    fn word(self) -> &'static str {
        match self {
            Ask::Contents => "read",
            Ask::AndGoOn => "on",
            Ask::Unfinished => "unfinished",
        }
    }

    fn answer(self, pool: &Path) -> inspect::Result<Contents> {
        match self {
            Ask::Contents => inspect::read(pool),
            Ask::AndGoOn => {
                let contents = inspect::read(pool)?;
                inspect::goes_on(pool)?;
                Ok(contents)
            }
            Ask::Unfinished => inspect::unfinished(pool),
        }
    }
}

/// Answers until there are no more questions.
pub fn serve(questions: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    for question in questions.lines() {
        let question = question?;
        let (word, path) = question.split_once(' ').unwrap_or_default();
        let ask = [Ask::Contents, Ask::AndGoOn, Ask::Unfinished]
            .into_iter()
            .find(|ask| ask.word() == word)
            .ok_or_else(|| io::Error::other(format!("the question {question}")))?;
        let answer = ask.answer(Path::new(path));
        match answer {
            Ok(contents) => writeln!(answers, "{}{END}", contents.encode())?,
            Err(why) => writeln!(answers, "{REFUSED}{}", why.replace('\n', " "))?,
        }
        answers.flush()?;
    }
    Ok(())
}

/// Such a process, seen from outside.
pub struct Checker {
    program: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
    running: Option<Running>,
}

struct Running {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Checker {
    /// One that `program` becomes, where something is asked.
    pub fn new(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            environment: Vec::new(),
            running: None,
        }
    }

    /// Gives it an environment.
    #[must_use]
    pub fn with(mut self, environment: Vec<(&'static str, PathBuf)>) -> Self {
        self.environment = environment;
        self
    }

    /// What a pool holds, or why that cannot be told.
    pub fn check(&mut self, ask: Ask, pool: &Path) -> io::Result<Result<Contents, String>> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start()?,
        };
        writeln!(running.questions, "{} {}", ask.word(), pool.display())?;
        let mut contents = Contents::default();
        let mut line = String::new();
        loop {
            line.clear();
            if running.answers.read_line(&mut line)? == 0 {
                let status = running.child.wait()?;
                return Ok(Err(format!("opening it ended the process: {status}")));
            }
            let line = line.trim_end_matches('\n');
            if line == END {
                self.running = Some(running);
                return Ok(Ok(contents));
            }
            if let Some(why) = line.strip_prefix(REFUSED) {
                self.running = Some(running);
                return Ok(Err(why.to_owned()));
            }
            contents
                .add_line(line)
                .ok_or_else(|| io::Error::other(format!("the checker says: {line}")))?;
        }
    }

    fn start(&self) -> io::Result<Running> {
        let mut child = Command::new(&self.program)
            .arg(COMMAND)
            // As on persistent memory that the processor flushes; without the flushes, which cost time and show nothing.
            .env("PMEM_IS_PMEM_FORCE", "1")
            .env("PMEM_NO_FLUSH", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let questions = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let answers = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Running {
            child,
            questions,
            answers: BufReader::new(answers),
        })
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // Both fail only where the process is gone already.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}
