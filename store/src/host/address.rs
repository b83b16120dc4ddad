//! Owns finding out a host's own address: by a script of the configuration, believed only if an interface has it.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;

use crate::durable;
use crate::io_error::IoError;
use crate::process::{self, ProcessError, Verdict};

/// How long the script may take. It runs at each start of a service, so one that takes longer is of no use.
const LIMIT: Duration = Duration::from_secs(30);
/// Services of any user read it.
const FILE_MODE: u32 = 0o644;

/// Why the host's address is not known.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The script failed.
    #[error(transparent)]
    Script(#[from] ProcessError),
    /// It printed something else than one address.
    #[error("{script} printed `{printed}`, which is not one IPv4 or IPv6 address")]
    NotAnAddress {
        /// The script.
        script: String,
        /// The beginning of what it printed.
        printed: String,
    },
    /// It printed an address of another host, or of none.
    #[error("{script} printed {address}, which no interface of this host has (it has {})", list(.here))]
    NotOurs {
        /// The script.
        script: String,
        /// What it printed.
        address: IpAddr,
        /// The addresses that this host has.
        here: Vec<IpAddr>,
    },
    /// The interfaces cannot be listed.
    #[error("cannot list this host's interfaces: {0}")]
    Interfaces(#[source] nix::errno::Errno),
}

fn list(addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    texts.join(", ")
}

/// Runs `script` of the prefix that stands at `root`, and takes what it prints for the host's address.
///
/// # Errors
/// When it prints anything but one address that an interface of this host has, alone on a line.
pub fn detect(script: &Path, root: &Path) -> Result<IpAddr, AddressError> {
    let mut command = process::command(script);
    command.env_clear().env("PATH", path(root)).current_dir("/");
    let said = process::run(command, LIMIT, &mut || Verdict::GoOn)?;
    let printed = String::from_utf8_lossy(&said.stdout);
    let name = script.display().to_string();
    let address: IpAddr = printed.trim().parse().map_err(|_| AddressError::NotAnAddress {
        script: name.clone(),
        printed: printed.chars().take(100).collect::<String>().trim().to_owned(),
    })?;
    let here = addresses()?;
    if !here.contains(&address) {
        return Err(AddressError::NotOurs {
            script: name,
            address,
            here,
        });
    }
    Ok(address)
}

/// Writes `HOST_IP=ADDRESS` to `file`, which units read as their environment, in place of what is there.
///
/// # Errors
/// When it cannot be written.
pub fn write_environment(address: IpAddr, file: &Path) -> Result<(), IoError> {
    if let Some(folder) = file.parent() {
        durable::create_folders(folder)?;
    }
    durable::write(file, format!("HOST_IP={address}\n").as_bytes(), FILE_MODE)
}

/// The `PATH` of programs of the prefix that stands at `root`.
pub(super) fn path(root: &Path) -> String {
    format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", root.display())
}

/// Every address of every interface, in the kernel's order.
fn addresses() -> Result<Vec<IpAddr>, AddressError> {
    let interfaces = getifaddrs().map_err(AddressError::Interfaces)?;
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|found| IpAddr::from(found.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|found| IpAddr::from(found.ip())))
    };
    Ok(interfaces.filter_map(address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn printing(text: &str) -> Result<IpAddr, AddressError> {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("ip-detect");
        fs::write(&script, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
        detect(&script, folder.path())
    }

    #[test]
    fn an_address_of_an_interface_is_taken() {
        assert_eq!(printing("echo 127.0.0.1").unwrap(), IpAddr::from([127, 0, 0, 1]));
    }

    #[test]
    fn anything_else_is_refused_with_what_was_printed() {
        for text in [
            "echo",
            "echo 127.0.0.1 127.0.0.1",
            "echo eth0",
            "echo 127.0.0.1; echo 127.0.0.1",
            "echo 1.2.3",
        ] {
            assert!(
                matches!(printing(text), Err(AddressError::NotAnAddress { .. })),
                "{text}"
            );
        }
        // An address for documentation, which no host has.
        assert!(matches!(
            printing("echo 192.0.2.77"),
            Err(AddressError::NotOurs { here, .. }) if here.contains(&IpAddr::from([127, 0, 0, 1]))
        ));
        assert!(matches!(
            printing("echo 127.0.0.1; exit 3"),
            Err(AddressError::Script(ProcessError::Failed { .. }))
        ));
    }
}
