//! Memory that only the start needed.

/// Gives back to the system the pages of the program and its libraries that this process has in memory: those that it runs by
/// are there again at their next use, from the system's cache of files, and what only the start ran by stays away.
///
/// They are half of an idle server: the relocations, the command line, the migrations, the making of the schema. What the
/// program has written, and its heap, stay as they are. On systems other than Linux nothing is done.
pub fn give_back_start() {
    #[cfg(target_os = "linux")]
    if let Err(error) = linux::drop_clean_pages() {
        tracing::debug!(%error, "the pages of the start stay in memory");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{ffi::c_void, io, ptr::NonNull};

    use nix::sys::mman::{MmapAdvise, madvise};
    use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};

    /// # Errors
    /// Where `/proc` is not there, or the kernel refuses.
    pub fn drop_clean_pages() -> io::Result<()> {
        for map in Process::myself().and_then(|it| it.smaps()).map_err(io::Error::other)? {
            let (start, end) = map.address;
            let (Ok(start), Ok(length)) = (usize::try_from(start), usize::try_from(end - start)) else { continue };
            let Some(start) = NonNull::new(start as *mut c_void).filter(|_| is_as_in_its_file(&map)) else { continue };
            // SAFETY: the kernel reads a page of a file's mapping from the file again when it is used next, so nobody
            // notices, as long as it is what the file says; and this mapping can't be written to and has no page of its own.
            #[expect(unsafe_code, reason = "the only way to say which pages are not needed")]
            unsafe {
                madvise(start, length, MmapAdvise::MADV_DONTNEED)?;
            }
        }
        Ok(())
    }

    /// Whether a mapping is a file's, and no page of it differs from the file. What the linker has relocated does, although it
    /// can't be written to any more.
    fn is_as_in_its_file(map: &MemoryMap) -> bool {
        matches!(map.pathname, MMapPath::Path(_))
            && !map.perms.intersects(MMPermissions::WRITE | MMPermissions::SHARED)
            && map.extension.map.get("Anonymous") == Some(&0)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn code_is_given_back_and_relocated_data_never() {
            let maps: Vec<MemoryMap> = Process::myself().unwrap().smaps().unwrap().into_iter().collect();
            let (code, data) = (code as *const () as u64, (&raw const RELOCATED).addr() as u64);
            let map_of = |at: u64| maps.iter().find(|it| it.address.0 <= at && at < it.address.1).unwrap();
            assert!(is_as_in_its_file(map_of(code)) && !is_as_in_its_file(map_of(data)));
            let before = resident();
            drop_clean_pages().unwrap();
            assert!(resident() < before);
            assert_eq!(std::hint::black_box(&RELOCATED)[1], "relocated");
        }

        /// How much of files is in memory, in bytes.
        fn resident() -> u64 {
            let maps = Process::myself().unwrap().smaps().unwrap().into_iter();
            maps.filter(is_as_in_its_file).map(|it| it.extension.map["Rss"]).sum()
        }

        fn code() {}

        /// Texts in a table are addresses, which the linker writes.
        static RELOCATED: [&str; 2] = ["is", "relocated"];
    }
}
