//! The recipes that come with the program, from the folder `recipes` of its repository.

/// A recipe in the program.
#[derive(Debug)]
pub(crate) struct Shipped {
    pub(crate) name: &'static str,
    pub(crate) document: &'static str,
    /// Templates and files by name.
    pub(crate) files: &'static [(&'static str, &'static str)],
}

macro_rules! shipped {
    ($($name:literal: [$($file:literal),*];)*) => {
        /// All of them.
        pub(crate) const ALL: &[Shipped] = &[$(Shipped {
            name: $name,
            document: include_str!(concat!("../../../../recipes/", $name, "/recipe.yaml")),
            files: &[$(($file, include_str!(concat!("../../../../recipes/", $name, "/", $file)))),*],
        },)*];
    };
}

// A test holds this list against the folder.
shipped! {
    "app": ["templates/env", "templates/service"];
    "docker": ["templates/daemon.json"];
    "hardening": ["templates/sshd.conf", "templates/sysctl.conf"];
    "nginx": ["templates/nginx.conf"];
    "postgresql": ["templates/pg_hba.conf", "templates/postgresql.conf"];
    "proxy": ["templates/files", "templates/nginx.conf"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_ships() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
        let mut there = Vec::new();
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path)
                } else {
                    there.push(path.strip_prefix(&root).unwrap().to_owned())
                }
            }
        }
        let mut shipped: Vec<std::path::PathBuf> = ALL
            .iter()
            .flat_map(|one| {
                let files = one.files.iter().map(|(file, _)| format!("{}/{file}", one.name));
                files.chain([format!("{}/recipe.yaml", one.name)])
            })
            .map(Into::into)
            .collect();
        there.sort();
        shipped.sort();
        assert_eq!(shipped, there);
    }
}
