//! The state directory across restarts, and against a second process.

use std::{fs, io};
use tidegate::{record::Incarnation, state::StateDirectory};

fn bits(n: u8) -> impl FnOnce(&mut [u8]) -> io::Result<()> {
    move |out| {
        out.fill(n);
        Ok(())
    }
}

fn no_bits(_: &mut [u8]) -> io::Result<()> {
    panic!("an id is made once")
}

#[test]
fn a_second_user_is_refused_with_the_process_id_until_the_first_ends() {
    let root = tempfile::tempdir().unwrap();
    let first = StateDirectory::open(root.path(), "app").unwrap();
    let e = StateDirectory::open(root.path(), "app").unwrap_err().to_string();
    assert!(e.contains(&format!("is in use by process {}\n", std::process::id())), "{e}");
    StateDirectory::open(root.path(), "another app").unwrap();
    drop(first);
    StateDirectory::open(root.path(), "app").unwrap();
}

#[test]
fn the_instance_id_is_created_once_and_incarnations_increase() {
    let root = tempfile::tempdir().unwrap();
    let directory = StateDirectory::open(root.path(), "app").unwrap();
    assert!(directory.instance_id(None, |_| Err(io::Error::other("no entropy"))).is_err());
    assert_eq!(&*directory.instance_id(Some("pod-1"), no_bits).unwrap().0, "pod-1");
    let id = directory.instance_id(None, bits(0xa1)).unwrap();
    assert_eq!(&*id.0, "a1".repeat(16));
    let starts = [0, 0, 7, 3].map(|n| directory.next_incarnation(Incarnation(n)).unwrap().0);
    assert_eq!(starts, [1, 2, 7, 8]);
    drop(directory);
    let directory = StateDirectory::open(root.path(), "app").unwrap();
    assert_eq!(directory.instance_id(None, no_bits).unwrap(), id);
    assert_eq!(directory.next_incarnation(Incarnation(0)).unwrap(), Incarnation(9));
    // A file with unreadable content is an error that names it, not a new identity.
    fs::write(directory.path().join("instance.id"), "").unwrap();
    fs::write(directory.path().join("incarnation"), "many").unwrap();
    let e = directory.instance_id(None, no_bits).unwrap_err().to_string();
    assert!(e.contains("instance.id has invalid content"), "{e}");
    let e = directory.next_incarnation(Incarnation(0)).unwrap_err().to_string();
    assert!(e.contains("incarnation has invalid content"), "{e}");
}
