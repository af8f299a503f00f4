//! Several servers, and folders in folders.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use lambda_boot::Deadline;
use sftp_poll::{After, Deps, Event, Ready, Report, ServerConfig, handle};
use test_support::Sshd;

use crate::{Fixture, HOUR, NOTHING, Server, file_of, folders};

/// Two of OpenSSH's: `north` has a folder for each switch, `south` one for all.
struct Two {
    fixture: Fixture,
    north: Arc<Sshd>,
    south: Sshd,
}

impl Two {
    async fn start() -> Self {
        let (north, south) = tokio::join!(test_support::sshd(), test_support::sshd());
        let north = Arc::new(north);
        let mut fixture = Fixture::on(Server::OpenSsh(Arc::clone(&north))).await;
        let servers = &mut fixture.config.servers;
        servers.push(ServerConfig { name: Some("south".to_owned()), ..servers[0].clone() });
        servers[0].name = Some("north".to_owned());
        servers[0].sftp.remote_path = folders(&format!("{}/msc-*/voice", north.remote_path));
        (servers[1].sftp.port, servers[1].sftp.remote_path) = (south.port, folders(&south.remote_path));
        servers[1].sftp.host_key = sftp::HostKey::try_from(south.host_keys[0].clone()).unwrap();
        let password = south.password.expose().to_owned();
        (servers[1].sftp.user, servers[1].sftp.credentials) =
            (south.user.clone(), sftp::Credentials::Password(password));
        Self { fixture, north, south }
    }

    fn deliver(folder: &Path, name: &str, content: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - HOUR).unwrap();
    }

    async fn seconds(&self) -> u64 {
        self.fixture.publish().await;
        self.fixture.counted().await.seconds
    }
}

#[tokio::test]
async fn files_have_the_names_of_their_servers_and_folders() {
    let mut two = Two::start().await;
    two.fixture.config.servers[1].habits.ready = Ready::Marker(".done".to_owned());
    two.fixture.config.servers[1].habits.after = After::Delete;
    let (north, south) = (two.north.upload().to_path_buf(), two.south.upload().to_path_buf());
    let name = "cdr_voice_20240301_100000.csv";
    // The same name in three places, with other calls in each.
    Two::deliver(&north, &format!("msc-1/voice/{name}"), &file_of(0..3));
    Two::deliver(&north, &format!("msc-2/voice/{name}"), &file_of(10..14));
    Two::deliver(&south, name, &file_of(20..25));
    Two::deliver(&south, &format!("{name}.done"), "");
    // Nobody takes these: another name, a folder that the pattern does not fit, one without `voice`.
    Two::deliver(&north, "msc-2/voice/README", "x");
    Two::deliver(&north, &format!("rnc-1/voice/{name}"), &file_of(30..40));
    Two::deliver(&north, "msc-3/README", "x");
    // Nor can this be a folder.
    Two::deliver(&north, "msc-5/voice", "x");
    assert_eq!(two.fixture.poll().await, Report { landed: 3, announced: 3, unmatched: 2, ..NOTHING });
    let names = [format!("north/msc-1/voice/{name}"), format!("north/msc-2/voice/{name}"), format!("south/{name}")];
    assert_eq!(two.fixture.announced().await, names);
    assert_eq!(two.seconds().await, 1_200);
    let objects = two.fixture.objects().await;
    assert!(names.iter().all(|name| objects.contains_key(&format!("landing/{name}"))), "{:?}", objects.keys());
    // Each server has its own habits.
    assert_eq!(two.fixture.poll().await, Report { cleared: 1, unmatched: 2, ..NOTHING });
    assert!(!south.join(name).exists() && north.join("msc-1/voice").join(name).exists());
    // A file is its content, wherever it lies.
    Two::deliver(&north, "msc-4/voice/cdr_voice_20240301_110000.csv", &file_of(20..25));
    assert_eq!(two.fixture.poll().await, Report { landed: 1, announced: 1, unmatched: 2, ..NOTHING });
    assert_eq!(two.seconds().await, 1_200);
    // And grows where it lies.
    Two::deliver(&north, &format!("msc-2/voice/{name}"), &file_of(10..16));
    assert_eq!(two.fixture.poll().await, Report { grown: 1, announced: 1, unmatched: 2, ..NOTHING });
    assert_eq!(two.seconds().await, 1_400);
}

#[tokio::test]
async fn a_server_that_fails_does_not_stop_the_others() {
    let two = Two::start().await;
    Two::deliver(two.north.upload(), "msc-1/voice/cdr_voice_20240301_100000.csv", &file_of(0..3));
    Two::deliver(two.south.upload(), "cdr_voice_20240301_100000.csv", &file_of(20..25));
    let mut config = two.fixture.config.clone();
    config.servers[0].sftp.port = 1;
    let deps = Deps::connect(&config).await.unwrap();
    let error = format!("{:#}", handle(&deps, Event::Poll, Deadline::NONE).await.unwrap_err());
    assert!(error.contains("server north: the SFTP server can't be reached at 127.0.0.1:1"), "{error}");
    assert_eq!(two.seconds().await, 500);
    // The next invocation asks it again.
    assert_eq!(two.fixture.poll().await, Report { landed: 1, announced: 1, ..NOTHING });
    assert_eq!(two.seconds().await, 800);
}

#[tokio::test]
async fn a_connection_that_is_lost_leaves_the_other_servers_alone() {
    let two = Two::start().await;
    let large: String = (0..12).map(|_| file_of(0..80_000)).collect();
    Two::deliver(two.north.upload(), "msc-1/voice/cdr_voice_20240301_000000.csv", &large);
    Two::deliver(two.south.upload(), "cdr_voice_20240301_100000.csv", &file_of(20..25));
    let line = two.fixture.line(test_support::Line::default()).await;
    let deps = Deps::connect(&two.fixture.over(&line)).await.unwrap();
    // Enough for the folders' listings and a part of the file.
    line.cut_after(large.len() as u64 / 2);
    let error = format!("{:#}", handle(&deps, Event::Poll, Deadline::NONE).await.unwrap_err());
    assert!(error.contains("copying north/msc-1/voice/cdr_voice_20240301_000000.csv"), "{error}");
    assert_eq!(two.seconds().await, 500);
}

#[tokio::test]
async fn files_of_one_name_are_moved_into_one_folder() {
    let mut two = Two::start().await;
    let (north, name) = (two.north.upload().to_path_buf(), "cdr_voice_20240301_100000.csv");
    let done = north.join("done");
    fs::create_dir(&done).unwrap();
    let writable = |folder: &Path| fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    writable(&done);
    two.fixture.config.servers.pop();
    two.fixture.config.servers[0].habits.after = After::Move(done.to_str().unwrap().to_owned());
    for switch in 0..6 {
        Two::deliver(&north, &format!("msc-{switch}/voice/{name}"), &file_of(switch * 10..switch * 10 + 5));
        writable(&north.join(format!("msc-{switch}/voice")));
    }
    assert_eq!(two.fixture.poll().await, Report { landed: 6, announced: 6, ..NOTHING });
    assert_eq!(two.fixture.poll().await, Report { cleared: 6, ..NOTHING });
    assert_eq!(fs::read_dir(done).unwrap().count(), 6);
}

#[tokio::test]
async fn a_pattern_that_fits_no_folder_is_seen() {
    let mut two = Two::start().await;
    two.fixture.config.servers[0].sftp.remote_path = folders(&format!("{}/rnc-*", two.north.remote_path));
    assert_eq!(two.fixture.poll().await, Report { unmatched: 1, ..NOTHING });
}
