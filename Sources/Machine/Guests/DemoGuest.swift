import Foundation

/// A real guest for the demo: where its files are on this host, and how it is started.
public struct DemoGuest: Equatable, Sendable {
    public var name: String
    public var title: String
    /// Empty when something is missing.
    public var needs = ""
    /// Changes to a run's settings; `kernel`, `floppy` and so on.
    var floppy: String?, disk: String?, cdrom: String?, kernel: String?, initrd: String?, append: String?
    /// A disk that is made when it is started for the first time.
    var debian: DebianDisk.Architecture?
    var memoryMiB = 128
    /// nil: any will do.
    var cpuModel: String?

    public var isReady: Bool { needs.isEmpty }

    /// The guest's media and kernel over what the user chose.
    public func apply(to settings: RunSettings, memoryWasGiven: Bool, modelWasGiven: Bool = false) -> RunSettings {
        var settings = settings
        settings.name = name
        settings.floppy = floppy
        settings.disks = disk.map { [$0] } ?? []
        settings.cdrom = cdrom
        settings.kernel = kernel
        settings.initrd = initrd
        settings.append = append
        // Nothing that the demo shows is ever written to.
        settings.disposable = true
        if !memoryWasGiven { settings.memoryMiB = memoryMiB }
        if let cpuModel, !modelWasGiven { settings.cpuModel = cpuModel }
        return settings
    }
}

/// The guests that Debian's packages (or `Tests/guests.sh`) bring, and one of our own.
public struct GuestCatalog: Sendable {
    /// What stands before every path; tests have a root of their own.
    var root = ""
    /// `$XDG_CACHE_HOME/vitrine`.
    var cache: String
    private let environment: [String: String]

    public init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        let home = environment["HOME"] ?? "/tmp"
        let base = environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? home + "/.cache"
        cache = base + "/vitrine"
        self.environment = environment
    }

    init(root: String, environment: [String: String] = [:]) {
        self.root = root
        cache = root + "/cache"
        self.environment = environment
    }

    public var guests: [DemoGuest] {
        [linux, linuxCD, grubFloppy, grubCD, memtest, ipxe, sensitive].compactMap { $0 } + DebianDisk.Architecture.allCases.map(debian)
    }

    /// By name; `debian` is the usual one of its disks.
    public func guest(_ name: String) -> DemoGuest? {
        let full = name == "debian" ? "debian-\(DebianDisk.standard)" : name
        return guests.first { $0.name == full }
    }

    private func first(_ paths: [String]) -> String? { paths.map { root + $0 }.first { access($0, R_OK) == 0 } }

    private var grubFloppy: DemoGuest {
        var guest = DemoGuest(name: "grub", title: "GRUB rescue floppy: a boot loader with a command line")
        guest.floppy = first(["/usr/lib/grub-rescue/grub-rescue-floppy.img"])
        if guest.floppy == nil { guest.needs = "install the Debian package grub-rescue-pc" }
        return guest
    }

    private var grubCD: DemoGuest {
        var guest = DemoGuest(name: "grub-cd", title: "GRUB rescue CD, started by El Torito")
        guest.cdrom = first(["/usr/lib/grub-rescue/grub-rescue-cdrom.iso"])
        if guest.cdrom == nil { guest.needs = "install the Debian package grub-rescue-pc" }
        return guest
    }

    private var memtest: DemoGuest {
        var guest = DemoGuest(name: "memtest", title: "memtest86+, a test of the guest's memory")
        guest.cdrom = first(["/usr/lib/memtest86+/memtest86+ia32.iso"])
        if guest.cdrom == nil { guest.kernel = first(["/boot/memtest86+ia32.bin", "/boot/memtest86+.bin"]) }
        guest.memoryMiB = 64
        if guest.cdrom == nil, guest.kernel == nil { guest.needs = "install the Debian package memtest86+" }
        return guest
    }

    private var ipxe: DemoGuest {
        var guest = DemoGuest(name: "ipxe", title: "iPXE, a network boot loader with a command line")
        guest.kernel = first(["/usr/lib/ipxe/ipxe.lkrn", "/boot/ipxe.lkrn"])
        if guest.kernel == nil { guest.cdrom = first(["/usr/lib/ipxe/ipxe.iso"]) }
        if guest.kernel == nil, guest.cdrom == nil { guest.needs = "install the Debian package ipxe" }
        return guest
    }

    private var sensitive: DemoGuest {
        var guest = DemoGuest(name: "sensitive", title: "the 17 sensitive instructions in ring 0, ring 3 and V86 mode")
        guest.floppy = cache + "/demo/sensitive.img"
        guest.memoryMiB = 16
        return guest
    }

    private var linux: DemoGuest {
        var guest = DemoGuest(name: "linux", title: "Debian Linux with BusyBox: a shell on the screen and on COM1")
        guest.kernel = kernel
        guest.append = "quiet"
        if guest.kernel == nil {
            guest.needs = "run Tests/guests.sh, which fetches Debian's i386 kernel and busybox without installing them"
        } else if access(cache + "/guests/initrd.img", R_OK) == 0 {
            guest.initrd = cache + "/guests/initrd.img"
        } else if busybox == nil {
            guest.needs = "install the Debian package busybox-static of architecture i386, or run Tests/guests.sh"
        }
        return guest
    }

    private func debian(_ architecture: DebianDisk.Architecture) -> DemoGuest {
        var guest = DemoGuest(name: "debian-\(architecture)", title: "Debian 12 for \(architecture) from its own disk")
        guest.disk = DebianBuild.image(architecture, in: cache + "/guests")
        guest.debian = architecture
        guest.memoryMiB = DebianDisk.memoryMiB
        guest.cpuModel = DebianDisk.cpuModel(architecture)
        if access(guest.disk ?? "", R_OK) != 0 {
            guest.title += ", made from its packages first"
            guest.needs = DebianBuild.needs(environment)
        }
        return guest
    }

    /// How a guest is made that does not exist yet.
    /// - Parameter mirror: the archive to take packages from; nil: the usual ones.
    /// - Returns: nil when there is nothing to make.
    public func build(for guest: DemoGuest, mirror: String? = nil) -> DebianBuild? {
        guard let architecture = guest.debian, let disk = guest.disk, access(disk, R_OK) != 0 else { return nil }
        return DebianBuild(
            DebianDisk(architecture, uuid: UUID().uuidString, mirror: mirror), folder: cache + "/guests", environment: environment)
    }

    /// Only offered when it has been built.
    private var linuxCD: DemoGuest? {
        guard access(cache + "/guests/linux.iso", R_OK) == 0 else { return nil }
        var guest = DemoGuest(name: "linux-cd", title: "the same from a CD with the GRUB boot loader")
        guest.cdrom = cache + "/guests/linux.iso"
        return guest
    }

    /// Ours first, then the newest in /boot that is for 32 bits.
    private var kernel: String? {
        if access(cache + "/guests/vmlinuz", R_OK) == 0 { return cache + "/guests/vmlinuz" }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root + "/boot")) ?? []
        let matching = names.filter { $0.hasPrefix("vmlinuz-") && $0.contains("-686") }
        return matching.sorted { $0.compare($1, options: .numeric) == .orderedAscending }.last.map { root + "/boot/" + $0 }
    }

    private var busybox: [UInt8]? {
        for path in [cache + "/guests/busybox", root + "/bin/busybox", root + "/usr/bin/busybox"] {
            guard access(path, R_OK) == 0, let bytes = try? WholeFile.read(path, what: "busybox", limit: 1 << 24) else { continue }
            if BusyBoxSystem.isStatic386(bytes) { return bytes }
        }
        return nil
    }

    /// Makes what has to be made before the guest can start: the initial RAM disk of `linux`, the floppy of `sensitive`, in the cache.
    /// - Throws: `.badInput` when something is missing; `.failed` when the cache cannot be written.
    public func prepared(_ guest: DemoGuest) throws(MachineError) -> DemoGuest {
        guard guest.isReady else { throw .badInput("The guest '\(guest.name)' is not complete: \(guest.needs).") }
        let folder = cache + "/demo"
        let made: [UInt8]
        if guest.name == "sensitive" {
            made = SensitiveGuest.image
        } else {
            guard guest.kernel != nil, guest.name == "linux", guest.initrd == nil, let busybox else { return guest }
            made = BusyBoxSystem.archive(busybox: busybox, modules: [])
        }
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw .failed("The folder '\(folder)' cannot be made: \(WholeFile.reason()).")
        }
        if let floppy = guest.floppy {
            try WholeFile.write(made, to: floppy, what: "floppy")
            return guest
        }
        var guest = guest
        let path = folder + "/initrd.img"
        try WholeFile.write(made, to: path, what: "initial RAM disk")
        guest.initrd = path
        return guest
    }
}
