use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// The name that a whole file is given, in the place of what bears it: of a link that of what it stands for. None: it
/// is a device or a pipe, which must not be replaced and takes the bytes as they come.
pub fn place(path: &Path) -> io::Result<Option<PathBuf>> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::canonicalize(path).map(Some),
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(path.to_owned())),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_where_it_lies_and_a_device_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let (file, link) = (dir.join("file"), dir.join("link"));
        assert_eq!(place(&file).unwrap(), Some(file.clone()));
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(place(&link).unwrap(), Some(file));
        assert_eq!(place(Path::new("/dev/null")).unwrap(), None);
        assert_eq!(place(&dir).unwrap_err().kind(), ErrorKind::IsADirectory);
    }
}
