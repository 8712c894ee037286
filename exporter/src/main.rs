//! `cofre-exporter`: serves, prints or writes down the metrics of a backups folder.

mod args;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use cofre_exporter::{Error, Exporter, Result, Scope, server, textfile};
use tokio::signal::unix::{SignalKind, signal};

use args::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    args.start_log();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e}");
            ExitCode::from(exit_code(&e))
        }
    }
}

/// As documented for all of cofre's programs.
fn exit_code(e: &Error) -> u8 {
    match e {
        Error::Usage { .. } => 2,
        Error::Listen { .. } | Error::Textfile { .. } | Error::System { .. } | Error::Metrics(_) => 10,
    }
}

fn run(args: &Args) -> Result<()> {
    let exporter = Arc::new(Exporter::watching(args.repositories()?));
    // One thread does: everything that can block is on the probes' own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start the runtime"))?;
    runtime.block_on(async {
        if args.once || args.textfile_path.is_some() {
            once(args, &exporter).await
        } else {
            serve(args, exporter).await
        }
    })
}

async fn once(args: &Args, exporter: &Exporter) -> Result<()> {
    if let Some(path) = &args.textfile_path {
        textfile::write(path, &exporter.scrape(args.timeout(), Scope::Textfile).await?)?;
    }
    if args.once {
        let text = exporter.scrape(args.timeout(), Scope::Scrape).await?;
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(system("write to standard output"))?;
    }
    Ok(())
}

async fn serve(args: &Args, exporter: Arc<Exporter>) -> Result<()> {
    let site = server::Site::new(exporter, &args.telemetry_path, args.timeout())?;
    let web = match &args.web_config {
        Some(file) => server::Web::of_file(file)?,
        None => server::Web::default(),
    };
    let listeners = args
        .listen_addresses
        .iter()
        .map(|address| server::bind(address))
        .collect::<Result<Vec<_>>>()?;
    let mut terminate = signal(SignalKind::terminate()).map_err(system("watch for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("watch for SIGINT"))?;
    for listener in &listeners {
        let address = listener.local_addr().map_err(system("look up the address"))?;
        tracing::info!("listening on {}://{address}{}", web.scheme(), args.telemetry_path);
    }
    if args.is_without_schedule() {
        tracing::info!(
            "neither --state-dir nor --config is given: nothing says when backups are due, so none is overdue"
        );
    }
    tokio::select! {
        () = server::serve(listeners, site, web) => {}
        _ = terminate.recv() => tracing::info!("ending on SIGTERM"),
        _ = interrupt.recv() => tracing::info!("ending on SIGINT"),
    }
    Ok(())
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::System { what, source }
}
