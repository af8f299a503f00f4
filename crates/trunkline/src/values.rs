//! Values of the command line that need more than their type: what is wrong is said before anything starts.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

/// A probability.
pub(crate) fn probability(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("give a number from 0 to 1, such as 0.05".to_owned()),
    }
}

/// A time that something may take.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => Err("give whole seconds, such as 30".to_owned()),
    }
}

/// Where to listen: an address or a host's name, and a port. Of a name that has several addresses, one of IPv4.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    let Ok(addresses) = text.to_socket_addrs() else {
        return Err("write an address, or a name that has one, and a port: 127.0.0.1:18089".to_owned());
    };
    let addresses: Vec<_> = addresses.collect();
    let chosen = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    chosen.copied().ok_or_else(|| "this name has no address".to_owned())
}

/// A file that can be written: its folder is there and takes files.
pub(crate) fn new_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => ".".into(),
        Some(folder) if !path.is_dir() => folder.to_owned(),
        _ => return Err("this is a folder: name a file in it".to_owned()),
    };
    match tempfile::tempfile_in(&folder) {
        Ok(_) => Ok(path),
        Err(error) => Err(format!("no file can be made in {}: {error}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_from_0_to_1() {
        assert_eq!(["0", "1", "0.05"].map(probability), [Ok(0.0), Ok(1.0), Ok(0.05)]);
        for text in ["7", "-0.1", "NaN", "5%", ""] {
            assert!(probability(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_whole_seconds() {
        assert_eq!(seconds("30"), Ok(Duration::from_secs(30)));
        for text in ["0", "-1", "0.5", "30s", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_may_be_a_name() {
        let address = SocketAddr::from(([127, 0, 0, 1], 18_089));
        assert_eq!(["127.0.0.1:18089", "localhost:18089"].map(listen), [Ok(address), Ok(address)]);
        for text in ["18089", "localhost", "127.0.0.1"] {
            assert!(listen(text).unwrap_err().contains("127.0.0.1:18089"), "{text}");
        }
    }

    #[test]
    fn a_new_file_needs_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        assert!(new_file(&path("report.json")).is_ok());
        assert!(new_file("report.json").is_ok());
        assert!(!folder.path().join("report.json").exists());
        assert!(new_file(&path("")).unwrap_err().contains("folder"));
        assert!(new_file(&path("nowhere/report.json")).unwrap_err().contains("nowhere"));
    }
}
