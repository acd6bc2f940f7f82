#[derive(Default)]
pub(crate) struct Config;
impl Config {
    pub fn reset(&mut self) {}
}
