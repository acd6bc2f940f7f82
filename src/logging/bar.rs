//! A bar in the terminal for work that takes a while. The log's lines stand above it.

use std::io::{self, IsTerminal, Stdout, Write};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// The bar that is shown.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// How the bar looks.
const TEMPLATE: &str = "{msg} [{bar:40}] {pos:>3} % {elapsed}";

/// Shows how much of `what` is done, in percent. Shows nothing if the log goes elsewhere than to a terminal.
pub fn show_progress(what: &'static str, percent: usize) {
    if !io::stdout().is_terminal() || !io::stderr().is_terminal() || !super::is_on_stdout() {
        return;
    }
    let mut bar = BAR.lock();
    let bar = bar.get_or_insert_with(|| {
        let bar = ProgressBar::new(100).with_message(what);
        // The template is right, and if it were not, the usual style would do.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar
    });
    bar.set_position(percent as u64);
}

/// Takes the bar away.
pub fn end_progress() {
    if let Some(bar) = BAR.lock().take() {
        bar.finish_and_clear();
    }
}

/// Standard output, whose lines take the place of the bar, which is drawn again below them.
pub(super) struct AboveBar(pub Stdout);

impl Write for AboveBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*BAR.lock() {
            Some(bar) => bar.suspend(|| self.0.write(bytes)),
            None => self.0.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
