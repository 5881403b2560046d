//! Names and directories: what `std::fs` does with them, and its errors.

use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, DirEntryExt, FileExt, MetadataExt};
use std::path::Path;

use fibra::fs::{self, DirBuilder, File, OpenOptions};
use fibra_tests::files::{Dir, assert_fails, assert_same, in_all_ways};
use fibra_tests::{alone, everywhere, turn};

#[test]
fn names_are_changed_linked_and_removed() {
    in_all_ways(|dir| {
        let a = dir.file("a", b"content");
        let (b, c, link) = (dir.join("b"), dir.join("c"), dir.join("link"));
        fs::rename(&a, &b).unwrap();
        assert!(!fs::exists(&a).unwrap() && fs::exists(&b).unwrap());
        assert_eq!(fs::copy(&b, &a).unwrap(), 7);
        fs::hard_link(&b, &c).unwrap();
        assert_eq!(fs::metadata(&b).unwrap().ino(), fs::metadata(&c).unwrap().ino());
        assert_ne!(fs::metadata(&b).unwrap().ino(), fs::metadata(&a).unwrap().ino());
        fs::symlink("b", &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("b"));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::metadata(&link).unwrap().is_file());
        assert_eq!(fs::canonicalize(&link).unwrap(), std::fs::canonicalize(&b).unwrap());
        fs::remove_file(&b).unwrap();
        assert!(!fs::exists(&link).unwrap());

        let deep = dir.join("x/y/z");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(deep.join("more")).unwrap();
        fs::remove_dir(deep.join("more")).unwrap();
        fs::write(deep.join("file"), "").unwrap();
        assert_fails(fs::remove_dir(&deep), std::fs::remove_dir(&deep));
        fs::remove_dir_all(dir.join("x")).unwrap();
        assert!(!deep.exists());
        DirBuilder::new().recursive(true).mode(0o700).create(&deep).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().mode() & 0o777, 0o700);
    });
}

#[test]
fn errors_are_stds() {
    in_all_ways(|dir| {
        let (file, missing, nul) = (dir.file("file", b"x"), dir.join("missing"), Path::new("a\0b"));
        for path in [&*missing, &file.join("below"), &dir.0, nul, Path::new("")] {
            let mut buf = [0];
            let ours = File::open(path).and_then(|mut file| file.read(&mut buf));
            let stds = std::fs::File::open(path).and_then(|mut file| file.read(&mut buf));
            assert_fails(ours, stds);
            assert_fails(fs::read(path), std::fs::read(path));
            assert_fails(fs::read_to_string(path), std::fs::read_to_string(path));
            if path != missing {
                assert_fails(fs::write(path, "x"), std::fs::write(path, "x"));
            }
            assert_fails(fs::copy(path, &file), std::fs::copy(path, &file));
            assert_fails(fs::remove_file(path), std::fs::remove_file(path));
            assert_fails(fs::read_link(path), std::fs::read_link(path));
            if path != dir.0 {
                assert_fails(fs::read_dir(path), std::fs::read_dir(path));
                assert_same(fs::exists(path), std::fs::exists(path));
                assert_fails(fs::canonicalize(path), std::fs::canonicalize(path));
                assert_fails(
                    fs::metadata(path).map(|it| it.len()),
                    std::fs::metadata(path).map(|it| it.len()),
                );
            }
        }
        for path in [&*file, &dir.0] {
            assert_fails(File::create_new(path), std::fs::File::create_new(path));
            assert_fails(fs::create_dir(path), std::fs::create_dir(path));
            assert_fails(fs::symlink("x", path), std::os::unix::fs::symlink("x", path));
        }
        // Nothing to open it for.
        assert_fails(OpenOptions::new().open(&file), std::fs::OpenOptions::new().open(&file));

        let (mut ours, mut stds) =
            (File::open(&file).unwrap(), std::fs::File::open(&file).unwrap());
        assert_fails(ours.write(b"x"), stds.write(b"x"));
        assert_fails(ours.write_all(b"x"), stds.write_all(b"x"));
        assert_fails(ours.set_len(0), stds.set_len(0));
        let mut options = std::fs::OpenOptions::new();
        let mut stds = options.write(true).open(&file).unwrap();
        let mut ours = OpenOptions::new().write(true).open(&file).unwrap();
        assert_fails(ours.read(&mut [0]), stds.read(&mut [0]));
        assert_fails(ours.read_at(&mut [0], 0), stds.read_at(&mut [0], 0));
        assert_fails(ours.read_to_end(&mut vec![]), stds.read_to_end(&mut vec![]));
        assert_fails(ours.read_exact(&mut [0]), stds.read_exact(&mut [0]));
    });
}

#[test]
fn a_large_directory_is_listed() {
    // Others count descriptors.
    let first = turn();
    let dir = Dir::new();
    for i in 0..5000 {
        match i % 100 {
            0 => std::fs::create_dir(dir.join(&i.to_string())).unwrap(),
            1 => std::os::unix::fs::symlink("x", dir.join(&i.to_string())).unwrap(),
            _ => drop(dir.file(&i.to_string(), b"")),
        }
    }
    let expected: Vec<_> = std::fs::read_dir(&dir.0)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.path(), entry.file_name(), entry.file_type().unwrap(), entry.ino())
        })
        .collect();
    assert_eq!(expected.len(), 5000);
    drop(first);
    let list = || {
        let mut entries = fs::read_dir(&dir.0).unwrap();
        let listed: Vec<_> = entries
            .by_ref()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.path(), entry.file_name(), entry.file_type().unwrap(), entry.ino())
            })
            .collect();
        assert!(listed == expected);
        assert!(entries.next().is_none());
    };
    everywhere(|setup| setup.run(list));
    alone(list);
    let _last = turn();
    drop(dir);
}

#[test]
fn directories_of_every_size_are_listed() {
    in_all_ways(|dir| {
        // Around the size of a batch.
        for len in [0, 1, 255, 256, 257, 512] {
            let path = dir.join(&len.to_string());
            fs::create_dir(&path).unwrap();
            for i in 0..len {
                std::fs::write(path.join(i.to_string()), "").unwrap();
            }
            assert_eq!(fs::read_dir(&path).unwrap().map(Result::unwrap).count(), len);
        }
        // Entries stay good when the rest is not read, and say what became of theirs.
        let entry = fs::read_dir(dir.join("512")).unwrap().next().unwrap().unwrap();
        assert!(entry.metadata().unwrap().is_file());
        fs::remove_file(entry.path()).unwrap();
        assert_eq!(entry.metadata().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(entry.file_type().unwrap().is_file());
    });
}
