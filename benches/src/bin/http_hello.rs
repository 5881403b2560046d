//! A server on one runtime: HTTP hello, echo, or accept–echo–close. Runs until it is ended.
//!
//! `go/hello/`, `may/` and `c/epoll_hello.c` do the same, and `http.sh` runs all in turn.

use std::io;
use std::process::ExitCode;

use fibra_benches::conversation::Service;
use fibra_benches::on_fibra::{self, Affinity};
use fibra_benches::{WORKERS, arguments, on_tokio};

const USAGE: &str = "\
usage: http_hello fibra|fibra-migratable|tokio SERVICE PORT   PORT 0 is any that is free
SERVICE: hello|echo|cycle";

fn main() -> io::Result<ExitCode> {
    let (Some(contestant), Some(label), Some(port)) =
        (arguments::text(1), arguments::text(2), arguments::number(3))
    else {
        return Ok(arguments::refuse(USAGE));
    };
    let Some(service) = Service::from_label(&label) else {
        return Ok(arguments::refuse(USAGE));
    };
    if contestant == "tokio" {
        on_tokio::run(&on_tokio::runtime_with_io(), on_tokio::serve(service, port))?;
    } else if let Some(affinity) = Affinity::from_label(&contestant) {
        on_fibra::runtime(WORKERS, affinity, None).run(|| on_fibra::serve(service, port))?;
    } else {
        return Ok(arguments::refuse(USAGE));
    }
    Ok(ExitCode::SUCCESS)
}
