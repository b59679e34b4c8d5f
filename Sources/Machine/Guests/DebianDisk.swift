/// A bootable Debian 12 disk, made from the packages of Debian's archive: what is on it, and the commands that make it.
///
/// The commands are programs of the host with their arguments; `DebianBuild` runs them, and the README gives the same as a recipe to type.
/// No step needs root: the packages are unpacked and configured in a user namespace (`mmdebstrap --mode=unshare`), owners are kept in a
/// list (`fakeroot`), and the file system is filled without being mounted (`mke2fs -d`).
public struct DebianDisk: Equatable, Sendable {
    public enum Architecture: String, CaseIterable, Sendable { case i386, amd64 }

    /// What `vitrine demo debian` means.
    public static let standard = Architecture.amd64
    public static let rootPassword = "vitrine"
    static let suite = "bookworm"
    static let memoryMiB = 256
    /// What Tests/debian.sh runs it on; nil: every machine has it.
    static func cpuModel(_ architecture: Architecture) -> String? { architecture == .amd64 ? "x86-64-v2" : nil }
    /// The whole disk; the file has holes where nothing is.
    static let diskBytes: UInt64 = 2048 << 20
    /// Where the only partition begins, as partitioning programs have it since 2009; the gap before it holds the boot loader.
    static let partitionBytes: UInt64 = 1 << 20
    static let label = "debian"
    /// GRUB's directory on the disk.
    static let grub = "/boot/grub/i386-pc"

    public let architecture: Architecture
    /// Of the root file system, in the usual spelling.
    let uuid: String
    /// The archive to build from; nil: the one that `mmdebstrap` knows, with its security updates.
    let mirror: String?

    init(_ architecture: Architecture, uuid: String, mirror: String? = nil) {
        (self.architecture, self.uuid, self.mirror) = (architecture, uuid.lowercased(), mirror)
    }

    /// What the disk holds beyond Debian's required packages: a kernel, an init that answers the power button, a boot loader, and
    /// something to try a processor with.
    var packages: [String] {
        let kernel = architecture == .i386 ? "linux-image-686" : "linux-image-amd64"
        return [kernel] + [
            "initramfs-tools", "zstd", "systemd-sysv", "udev", "dbus", "libpam-systemd", "kmod", "procps", "login", "e2fsprogs", "grub2-common",
            "grub-pc-bin", "python3-minimal", "openssl", "less", "nano",
        ]
    }

    /// Programs of the host that the build runs, each with the Debian package that brings it.
    static let tools: [(program: String, package: String)] = [
        ("mmdebstrap", "mmdebstrap"), ("newuidmap", "uidmap"), ("fakeroot", "fakeroot"), ("mke2fs", "e2fsprogs"), ("tar", "tar"),
    ]

    /// The root file system as an archive at `tar`.
    func bootstrap(tar: String) -> [String] {
        [
            "--verbose", "--mode=unshare", "--format=tar", "--variant=minbase", "--architectures=\(architecture)",
            "--include=" + packages.joined(separator: ","),
        ] + earlyFiles.map { "--essential-hook=" + $0.hook } + lateFiles.map { "--customize-hook=" + $0.hook }
            + finishing.map { "--customize-hook=" + $0 } + [DebianDisk.suite, tar] + (mirror.map { [$0] } ?? [])
    }

    /// The archive unpacked into a folder, its owners and devices in the list at `owners`.
    func unpack(tar: String, into folder: String, owners: String) -> [String] { ["-s", owners, "--", "tar", "-C", folder, "-xpf", tar] }

    /// The file system in the image at `image`, which has its full size. The features are named because other versions of `mke2fs` have
    /// defaults that this GRUB or this kernel cannot read.
    func fileSystem(from folder: String, owners: String, image: String) -> [String] {
        [
            "-i", owners, "--", "mke2fs", "-q", "-F", "-t", "ext4", "-O",
            "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,"
                + "extra_isize,metadata_csum",
            "-I", "256", "-b", "4096", "-m", "1", "-U", uuid, "-L", DebianDisk.label, "-d", folder, "-E",
            "offset=\(DebianDisk.partitionBytes),lazy_itable_init=0,lazy_journal_init=0", image,
            "\((DebianDisk.diskBytes - DebianDisk.partitionBytes) >> 10)k",
        ]
    }

    // MARK: - What the packages do not bring

    /// A file of ours on the disk.
    struct File {
        var path: String
        var text: String
        var executable = false

        /// The shell command that writes it under the root that `mmdebstrap` gives as `$1`.
        var hook: String {
            let folder = path.split(separator: "/").dropLast().joined(separator: "/")
            let quoted = "'" + text.replacing("'", with: "'\\''") + "'"
            return "mkdir -p \"$1/\(folder)\" && printf %s \(quoted) >\"$1\(path)\"" + (executable ? " && chmod 755 \"$1\(path)\"" : "")
        }
    }

    /// Before the kernel is installed: its initial RAM disk holds what these machines need, not every driver that there is, so that it
    /// fits into 128 MiB and is unpacked in a moment.
    private var earlyFiles: [File] {
        [
            File(path: "/etc/initramfs-tools/conf.d/vitrine", text: "MODULES=list\n"),
            File(
                path: "/etc/initramfs-tools/hooks/vitrine",
                text: """
                    #!/bin/sh
                    [ "$1" = prereqs ] && exit 0
                    . /usr/share/initramfs-tools/hook-functions
                    force_load ata_piix
                    force_load sd_mod
                    force_load ext4
                    manual_add_modules sr_mod virtio_pci virtio_blk

                    """, executable: true),
        ]
    }

    /// The kernel's command line: text modes only, messages on COM1 and, last and therefore as /dev/console, on the screen.
    var commandLine: String { "root=UUID=\(uuid) ro nomodeset console=ttyS0 console=tty0" }

    private var lateFiles: [File] {
        [
            File(path: "/etc/hostname", text: "debian\n"),
            File(path: "/etc/hosts", text: "127.0.0.1 localhost\n127.0.1.1 debian\n::1 localhost ip6-localhost ip6-loopback\n"),
            File(path: "/etc/fstab", text: "UUID=\(uuid) / ext4 errors=remount-ro 0 1\n"),
            File(
                path: "/etc/issue",
                text: "Debian GNU/Linux 12 \\n \\l\n\nLog in as root with the password \(DebianDisk.rootPassword); 'halt -p' ends the machine.\n\n"),
            // For update-grub, should the user come to run it; the menu below is what it would make, without its tests of the host.
            File(
                path: "/etc/default/grub",
                text: """
                    GRUB_DEFAULT=0
                    GRUB_TIMEOUT=5
                    GRUB_DISTRIBUTOR=Debian
                    GRUB_CMDLINE_LINUX="nomodeset console=ttyS0 console=tty0"
                    GRUB_TERMINAL=console

                    """),
            File(
                path: "/boot/grub/grub.cfg",
                text: """
                    set timeout=5
                    set default=0
                    menuentry "Debian GNU/Linux 12, \(architecture)" {
                        linux /vmlinuz \(commandLine)
                        initrd /initrd.img
                    }
                    menuentry "Debian GNU/Linux 12, \(architecture), a root shell without services" {
                        linux /vmlinuz \(commandLine) single
                        initrd /initrd.img
                    }

                    """),
        ]
    }

    /// The root password; GRUB's files and the image of its core; what is in /usr, for `sha256sum -c`.
    private var finishing: [String] {
        [
            "echo root:\(DebianDisk.rootPassword) | chroot \"$1\" chpasswd",
            "mkdir -p \"$1\(DebianDisk.grub)\" && cd \"$1/usr/lib/grub/i386-pc\" && cp *.mod *.lst boot.img \"$1\(DebianDisk.grub)/\"",
            "chroot \"$1\" grub-mkimage -O i386-pc -o \(DebianDisk.grub)/core.img -p '(,msdos1)/boot/grub' "
                + "biosdisk part_msdos ext2 normal configfile linux minicmd ls cat echo reboot halt",
            // mmdebstrap's own files, which keep services from being started, are gone in the end.
            "mkdir -p \"$1/var/lib/vitrine\" && chroot \"$1\" sh -c 'find /usr -xdev -type f ! -name policy-rc.d ! -name \"*.REAL\" -print0 "
                + "| LC_ALL=C sort -z | xargs -0 sha256sum >/var/lib/vitrine/usr.sha256'",
        ]
    }
}
