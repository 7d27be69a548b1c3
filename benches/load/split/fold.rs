//! Samples, folded by what they were in.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{Kind, Split};

/// How many crates are named.
const CRATES: usize = 12;
/// From here on, addresses belong to the kernel.
const KERNEL: u64 = 1 << 63;

/// One line of `perf script`.
#[derive(Clone, Copy, Debug)]
struct Sample<'a> {
    address: u64,
    symbol: &'a str,
    /// The program, library or part of the kernel that the address is in.
    file: &'a str,
}

/// Folds the output of `perf script -F ip,sym,dso` for a process of this program.
pub(super) fn fold(script: &str, program: &str) -> Split {
    let samples: Vec<Sample<'_>> = script.lines().filter_map(Sample::parse).collect();
    let mut kinds: BTreeMap<Kind, u32> = BTreeMap::new();
    let mut crates: BTreeMap<&str, u32> = BTreeMap::new();
    for sample in &samples {
        let kind = sample.kind(program);
        *kinds.entry(kind).or_default() += 1;
        if kind == Kind::Code {
            *crates.entry(sample.crate_name()).or_default() += 1;
        }
    }
    let own = || samples.iter().filter(|sample| sample.is_in(program));
    let has_symbols = own().filter(|sample| sample.has_symbol()).count() * 2 > own().count();
    let count = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let share = |samples: u32| f64::from(samples) / f64::from(count.max(1));
    Split {
        cpu: f64::NAN,
        samples: count,
        has_symbols,
        shares: kinds
            .into_iter()
            .map(|(kind, samples)| (kind, share(samples)))
            .collect(),
        crates: if has_symbols {
            largest(&crates)
                .map(|(name, samples)| (name, share(samples)))
                .collect()
        } else {
            Vec::new()
        },
    }
}

/// Returns the crates with the most samples.
fn largest(crates: &BTreeMap<&str, u32>) -> impl Iterator<Item = (String, u32)> {
    let mut sorted: Vec<(&str, u32)> = crates.iter().map(|(name, count)| (*name, *count)).collect();
    sorted.sort_by_key(|(_, samples)| Reverse(*samples));
    sorted
        .into_iter()
        .take(CRATES)
        .map(|(name, samples)| (name.to_owned(), samples))
}

impl<'a> Sample<'a> {
    /// Reads an address, a symbol, which may have spaces, and a file in parentheses.
    fn parse(line: &'a str) -> Option<Self> {
        let (address, rest) = line.trim().split_once(' ')?;
        let rest = rest.strip_suffix(')')?;
        // A file that was replaced since the process started.
        let rest = rest.strip_suffix(" (deleted)").unwrap_or(rest);
        let (symbol, file) = rest.rsplit_once('(')?;
        Some(Self {
            address: u64::from_str_radix(address, 16).ok()?,
            symbol: symbol.trim(),
            file,
        })
    }

    fn kind(self, program: &str) -> Kind {
        if self.is_kernel() {
            return Kind::Kernel;
        }
        let is_program = self.is_in(program);
        if !is_program && !self.is_libc() {
            return Kind::Other;
        }
        if is_copying(self.symbol) {
            Kind::Copying
        } else if is_allocation(self.symbol) {
            Kind::Allocation
        } else if is_program {
            Kind::Code
        } else {
            Kind::Libc
        }
    }

    fn is_in(self, program: &str) -> bool {
        self.file == program
    }

    fn has_symbol(self) -> bool {
        self.symbol != "[unknown]"
    }

    /// Modules are in brackets, as the kernel itself, or files.
    fn is_kernel(self) -> bool {
        self.address >= KERNEL || self.file.starts_with("[kernel") || self.file.contains(".ko")
    }

    fn is_libc(self) -> bool {
        let name = self.file.rsplit('/').next().unwrap_or_default();
        let (name, _) = name.split_once('.').unwrap_or((name, ""));
        // Also older versions, such as libc-2.31.so.
        let name = name.strip_suffix("-2").unwrap_or(name);
        matches!(name, "libc" | "libm" | "libpthread" | "[vdso]")
            || name == "ld"
            || name.starts_with("ld-")
    }

    /// Returns the crate of a Rust function, such as `hyper` for `<hyper::Error as core::fmt::Debug>::fmt`.
    fn crate_name(self) -> &'a str {
        let path = self.symbol.trim_start_matches(['<', '&', '(', '[', '*']);
        let path = ["mut ", "const ", "dyn "]
            .iter()
            .find_map(|word| path.strip_prefix(word))
            .unwrap_or(path);
        match path.split_once("::") {
            Some((name, _)) if name.bytes().all(is_word) => name,
            _ => "others",
        }
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns whether this is one of the C library's functions that copy, such as
/// `__memmove_avx_unaligned_erms`.
fn is_copying(symbol: &str) -> bool {
    let name = plain(symbol);
    ["memcpy", "memmove", "mempcpy"]
        .iter()
        .any(|function| name.starts_with(function))
}

/// Returns whether this is a function of the C library's allocator, of jemalloc, or between it and
/// Rust.
fn is_allocation(symbol: &str) -> bool {
    const RUST: [&str; 4] = [
        "__rust_alloc",
        "__rust_dealloc",
        "__rust_realloc",
        "tikv_jemallocator",
    ];
    /// Functions of glibc's `malloc.c` and `arena.c`, and those of jemalloc that have no prefix of
    /// their own.
    const PREFIXES: [&str; 20] = [
        "rjem_",
        "malloc",
        "calloc",
        "realloc",
        "memalign",
        "posix_memalign",
        "sysmalloc",
        "systrim",
        "unlink_chunk",
        "munmap_chunk",
        "tcache_",
        "arena_",
        "heap_trim",
        "te_",
        "hpa_",
        "pac_",
        "ehooks_",
        "extent_",
        "psset_",
        "base_alloc",
    ];
    if RUST.iter().any(|part| symbol.contains(part)) {
        return true;
    }
    let name = plain(symbol);
    matches!(name, "free" | "cfree" | "free_default")
        || (!symbol.contains("::") && PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// Returns the name of a C function without what the library and the compiler add to it.
fn plain(symbol: &str) -> &str {
    let name = symbol.trim_start_matches('_');
    let name = name
        .strip_prefix("GI_")
        .unwrap_or(name)
        .trim_start_matches('_');
    let name = name.strip_prefix("libc_").unwrap_or(name);
    let name = name.strip_prefix("int_").unwrap_or(name);
    name.split(['.', '@']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "/srv/aisbreaker-server";
    const LIBC: &str = "/usr/lib/x86_64-linux-gnu/libc.so.6";

    fn kind(address: &str, symbol: &str, file: &str) -> Kind {
        let line = format!("    {address} {symbol} ({file})");
        Sample::parse(&line).expect("it is a line").kind(PROGRAM)
    }

    #[test]
    fn a_sample_is_sorted_by_its_file_and_then_by_its_symbol() {
        let user = "55d79c919e4c";
        let rows = [
            ("<(A, B) as hyper::C>::poll::h0123 (x)", PROGRAM, Kind::Code),
            ("[unknown]", PROGRAM, Kind::Code),
            ("_rjem_malloc", PROGRAM, Kind::Allocation),
            ("_rjem_je_tcache_bin_flush_small", PROGRAM, Kind::Allocation),
            ("arena_bin_malloc_hard.isra.0", PROGRAM, Kind::Allocation),
            ("__rustc::__rust_dealloc", PROGRAM, Kind::Allocation),
            ("malloc_size_of::of::<u8>", PROGRAM, Kind::Code),
            ("memcpy", PROGRAM, Kind::Copying),
            ("__memmove_avx512_unaligned_erms", LIBC, Kind::Copying),
            ("__GI___libc_malloc", LIBC, Kind::Allocation),
            ("_int_free", LIBC, Kind::Allocation),
            ("malloc_consolidate", LIBC, Kind::Allocation),
            ("unlink_chunk.constprop.0", LIBC, Kind::Allocation),
            ("cfree@GLIBC_2.2.5", LIBC, Kind::Allocation),
            ("__GI_freeaddrinfo", LIBC, Kind::Libc),
            ("__memcmp_evex_movbe", LIBC, Kind::Libc),
            ("[unknown]", LIBC, Kind::Libc),
            ("clock_gettime", "[vdso]", Kind::Libc),
            ("_dl_fini", "/lib64/ld-linux-x86-64.so.2", Kind::Libc),
            ("log", "/lib/libm-2.31.so", Kind::Libc),
            ("SSL_read", "/usr/lib/libssl.so.3", Kind::Other),
            ("[unknown]", "[unknown]", Kind::Other),
        ];
        for (symbol, file, expected) in rows {
            assert_eq!(kind(user, symbol, file), expected, "{symbol} {file}");
        }
    }

    #[test]
    fn the_kernel_is_known_by_its_file_or_its_addresses() {
        let address = "ffffffff8225a9d6";
        for file in ["[kernel.kallsyms]", "[unknown]", "[nf_conntrack]"] {
            assert_eq!(kind(address, "memcpy", file), Kind::Kernel, "{file}");
        }
        for file in ["[kernel.kallsyms]", "/lib/modules/6.1/kernel/net/tls.ko.xz"] {
            assert_eq!(kind("0", "tls_sw_sendmsg", file), Kind::Kernel, "{file}");
        }
    }

    #[test]
    fn samples_are_folded_into_shares_and_crates() {
        let script = format!(
            "  1000 hyper::a::b::h01 ({PROGRAM})\n  1000 <&mut hyper::C as D>::c ({PROGRAM})\n\
             \x20 1000 tokio::d ({PROGRAM})\n  1000 SSL_new ({PROGRAM} (deleted))\n\
             \x20 ffffffff8225a9d6 do_syscall_64 ([kernel.kallsyms])\n\
             \x20 ffffffff8225a9d6 [unknown] ([unknown])\n  7f00 __memcpy_erms ({LIBC})\n\
             \x20 7f00 malloc ({LIBC})\n\nnot a sample\n"
        );
        let split = fold(&script, PROGRAM);
        assert_eq!(split.samples, 8);
        assert!(split.has_symbols);
        let expected = [
            (Kind::Code, 0.5),
            (Kind::Allocation, 0.125),
            (Kind::Copying, 0.125),
            (Kind::Kernel, 0.25),
        ];
        assert_eq!(split.shares, expected.into());
        let crates = [("hyper", 0.25), ("others", 0.125), ("tokio", 0.125)];
        assert_eq!(
            split.crates,
            crates.map(|(name, share)| (name.to_owned(), share))
        );
    }

    #[test]
    fn a_program_without_symbols_has_no_crates() {
        let script = format!("1000 [unknown] ({PROGRAM})\n1000 [unknown] ({PROGRAM})\n");
        let split = fold(&script, PROGRAM);
        assert!(!split.has_symbols && split.crates.is_empty());
        assert_eq!(fold("", PROGRAM).samples, 0);
    }
}
