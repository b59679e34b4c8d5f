import CPU

extension OSType {
    private static let mib: UInt64 = 1 << 20, gib: UInt64 = 1 << 30

    /// Everything that the wizard offers, family by family, the oldest first.
    ///
    /// Memory and disks are what the systems' makers recommend rather than demand, and what old installers can count: DOS and the first
    /// Windows 95 know no disk above 2 GiB in one piece, OS/2 and NT 3 none above 8 GiB.
    public static let all: [OSType] = dos + windows + linux + unix + others

    public static let other = OSType(
        "other", "Other", "Other", memory: 128, cpu: .level2, disk: 2 * gib, notes: "The board's own defaults.")

    private static let dos: [OSType] = [
        OSType(
            "dos", "DOS", "DOS", memory: 32, video: 4, cpu: .i486, disk: 512 * mib, local: true, acpi: false,
            boot: [.floppy, .cdrom, .disk]),
        OSType(
            "freedos", "FreeDOS", "DOS", memory: 64, video: 4, cpu: .pentium, disk: gib, local: true, acpi: false,
            boot: [.floppy, .cdrom, .disk]),
    ]

    private static func win(
        _ id: String, _ title: String, memory: Int, video: Int = 16, cpu: CPUModel, disk: UInt64, acpi: Bool = true, floppy: Bool = false,
        notes: String = ""
    ) -> OSType {
        OSType(
            id, title, "Windows", memory: memory, video: video, cpu: cpu, disk: disk, local: true, acpi: acpi,
            boot: floppy ? [.floppy, .cdrom, .disk] : [.cdrom, .disk], notes: notes)
    }

    private static let graphics = "Its graphics are not drawn in a terminal."

    private static let windows: [OSType] = [
        win("windows-3.1", "Windows 3.1", memory: 16, video: 4, cpu: .i486, disk: 256 * mib, acpi: false, floppy: true, notes: graphics),
        win(
            "windows-95", "Windows 95", memory: 64, video: 4, cpu: .pentium, disk: 2 * gib - mib, acpi: false, floppy: true, notes: graphics
        ),
        win("windows-98", "Windows 98", memory: 128, video: 8, cpu: .pentium, disk: 4 * gib, floppy: true, notes: graphics),
        win("windows-me", "Windows Me", memory: 128, video: 8, cpu: .pentiumPro, disk: 8 * gib, floppy: true, notes: graphics),
        win(
            "windows-nt3", "Windows NT 3.51", memory: 64, video: 4, cpu: .pentium, disk: 2 * gib - mib, acpi: false, floppy: true,
            notes: graphics),
        win("windows-nt4", "Windows NT 4.0", memory: 128, video: 8, cpu: .pentium, disk: 4 * gib - mib, acpi: false, notes: graphics),
        win("windows-2000", "Windows 2000", memory: 256, cpu: .pentium3, disk: 8 * gib, notes: graphics),
        win("windows-xp", "Windows XP", memory: 512, cpu: .pentium3, disk: 16 * gib, notes: graphics),
        win("windows-xp64", "Windows XP (64-bit)", memory: 512, cpu: .level1, disk: 16 * gib, notes: graphics),
        win("windows-2003", "Windows Server 2003", memory: 512, cpu: .pentium3, disk: 20 * gib, notes: graphics),
        win("windows-vista", "Windows Vista or later", memory: 1024, cpu: .level1, disk: 32 * gib, notes: graphics),
        win("windows-vista64", "Windows Vista or later (64-bit)", memory: 2048, cpu: .level2, disk: 48 * gib, notes: graphics),
        OSType(
            "os2", "OS/2", "OS/2", memory: 64, video: 8, cpu: .pentium, disk: 2 * gib - mib, local: true, acpi: false,
            boot: [.floppy, .cdrom, .disk], notes: graphics),
    ]

    private static let text = "A text console is drawn; 'nomodeset' keeps newer kernels in it."

    private static let linux: [OSType] = [
        OSType(
            "linux-2.2", "Linux 2.2", "Linux", memory: 64, video: 4, cpu: .pentium, disk: 2 * gib, acpi: false,
            boot: [.floppy, .cdrom, .disk]),
        OSType("linux-2.4", "Linux 2.4", "Linux", memory: 128, video: 8, cpu: .pentium3, disk: 4 * gib),
        OSType("linux-2.6", "Linux 2.6 and 3.x (32-bit)", "Linux", memory: 256, cpu: .pentium3, disk: 8 * gib, virtio: true),
        OSType("linux-2.6-64", "Linux 2.6 and 3.x (64-bit)", "Linux", memory: 512, cpu: .level2, disk: 8 * gib, virtio: true, notes: text),
        OSType("linux", "Linux 4.x to 6.x (32-bit)", "Linux", memory: 512, cpu: .pentium3, disk: 8 * gib, virtio: true, notes: text),
        OSType("linux-64", "Linux 4.x to 6.x (64-bit)", "Linux", memory: 1024, cpu: .level2, disk: 16 * gib, virtio: true, notes: text),
    ]

    private static let unix: [OSType] = [
        OSType("freebsd", "FreeBSD (32-bit)", "BSD", memory: 256, cpu: .pentium3, disk: 8 * gib, virtio: true),
        OSType("freebsd-64", "FreeBSD (64-bit)", "BSD", memory: 512, cpu: .level2, disk: 16 * gib, virtio: true),
        OSType("netbsd", "NetBSD (32-bit)", "BSD", memory: 128, cpu: .pentium3, disk: 4 * gib),
        OSType("netbsd-64", "NetBSD (64-bit)", "BSD", memory: 256, cpu: .level2, disk: 8 * gib),
        OSType("openbsd", "OpenBSD (32-bit)", "BSD", memory: 256, cpu: .pentium3, disk: 8 * gib),
        OSType("openbsd-64", "OpenBSD (64-bit)", "BSD", memory: 512, cpu: .level2, disk: 16 * gib),
        OSType("solaris", "Solaris", "Unix", memory: 512, cpu: .pentium3, disk: 8 * gib),
        OSType("solaris-64", "Solaris (64-bit)", "Unix", memory: 1024, cpu: .level2, disk: 16 * gib),
        OSType("minix", "Minix", "Unix", memory: 64, video: 4, cpu: .pentium, disk: 2 * gib),
        OSType(
            "xenix", "Other Unix of the 1980s and 90s", "Unix", memory: 16, video: 1, cpu: .i486, disk: 500 * mib, acpi: false,
            boot: [.floppy, .disk]),
    ]

    private static let others: [OSType] = [
        OSType(
            "netware", "NetWare", "Other", memory: 128, video: 4, cpu: .pentium, disk: 4 * gib - mib, local: true, acpi: false,
            boot: [.floppy, .cdrom, .disk]),
        OSType(
            "l4", "L4", "Other", memory: 128, cpu: .pentiumPro, disk: 0, boot: [.floppy, .cdrom, .disk],
            notes: "Starts from a CD, or with --kernel."),
        OSType("reactos", "ReactOS", "Other", memory: 256, cpu: .pentium3, disk: 4 * gib, local: true, notes: graphics),
        OSType("haiku", "Haiku", "Other", memory: 512, cpu: .pentium3, disk: 8 * gib, notes: graphics),
        other,
        OSType("other-64", "Other (64-bit)", "Other", memory: 512, cpu: .level2, disk: 8 * gib),
    ]
}
