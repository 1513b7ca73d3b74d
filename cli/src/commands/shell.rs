//! Completion scripts and manual pages, made from the same definitions that parse the command line.

use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;

use crate::output::write_line;

/// `exhibit completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  exhibit completions bash > /usr/share/bash-completion/completions/exhibit\n  exhibit completions zsh > ~/.zfunc/_exhibit"
)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// `exhibit man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  exhibit man --dir /usr/share/man/man1")]
pub struct ManArgs {
    /// Folder to write into
    #[arg(long)]
    dir: PathBuf,
}

/// Prints the script.
pub fn completions(args: CompletionsArgs, mut program: Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "exhibit", &mut script);
    write_line(String::from_utf8(script)?.trim_end())
}

/// Writes one page for each command.
pub fn man(args: ManArgs, program: Command) -> anyhow::Result<()> {
    fs_err::create_dir_all(&args.dir)?;
    clap_mangen::generate_to(program, &args.dir)?;
    Ok(())
}
