import CPU
import Hardware
import Primitives

/// Everything that `vitrine run` can be told about one machine (contract: `vitrine run`).
public struct RunSettings: Equatable, Sendable {
    public enum BootDevice: Character, Sendable {
        case floppy = "a"
        case disk = "c"
        case cdrom = "d"
        case network = "n"
    }
    public enum Engine: String, Sendable, CaseIterable {
        case auto, translator, interpreter
        /// Translator and interpreter side by side, for tests of the translator; see `LockstepPC`.
        case lockstep
        public static let allCases: [Engine] = [.auto, .translator, .interpreter]
    }
    public enum Clock: String, Sendable, CaseIterable {
        /// Guest time follows host time.
        case host
        /// Guest time follows retired instructions; runs repeat exactly.
        case virtual
    }
    /// Which controller the hard disks are on.
    public enum DiskInterface: String, Sendable, CaseIterable {
        /// The three places beside the CD drive.
        case ide
        /// A virtio device for each.
        case virtio

        var places: Int { self == .ide ? 3 : Bay.virtioDisks.count }
    }
    /// What becomes of writes to one disk.
    public enum DiskAccess: String, Sendable, CaseIterable {
        /// They go to the image.
        case writable
        /// They go to the image, and each is on the host's medium before the guest goes on.
        case writeThrough = "write-through"
        /// They go to a throw-away layer and are gone with the run.
        case disposable
        /// The drive refuses them.
        case readOnly = "read-only"

        /// The image changes.
        var isWritable: Bool { self == .writable || self == .writeThrough }
    }
    /// The guest's sixteen colours on the terminal.
    public enum Palette: String, Sendable, CaseIterable {
        /// As the theme says.
        case theme
        /// The VGA's own.
        case vga
        /// The terminal's own sixteen.
        case terminal
        case amber, green, mono
    }
    public struct DebugConsole: Equatable, Sendable {
        public var port: Port
        /// nil: standard error.
        public var path: String?
        public init(port: Port, path: String?) {
            self.port = port
            self.path = path
        }
    }

    /// 64-bit, where the host's own SIMD unit allows it.
    public static let defaultModel = CPUModel.level2.missingOnHost.isEmpty ? CPUModel.level2.name : CPUModel.pentiumPro.name
    /// Processor models by name, from the oldest.
    public static let cpuModels = CPUModel.all.map(\.name)
    public static let memoryRangeMiB = 1...BoardSettings.maximumRAMMiB
    public static let videoMemorySizes = VGA.memorySizesMiB

    /// What the front end calls the machine; empty: what it starts from.
    public var name = ""
    public var floppy: String?
    /// IDE primary master, primary slave, secondary slave; or virtio disks.
    public var disks: [String] = []
    public var diskInterface = DiskInterface.ide
    /// Of the disks in turn; those beyond its end are writable.
    public var diskAccess: [DiskAccess] = []
    public var cdrom: String?
    /// Empty: the firmware's own order.
    public var boot: [BootDevice] = []
    public var kernel: String?
    public var initrd: String?
    public var append: String?
    public var bios: String?
    public var memoryMiB = 128
    public var cpus = 1
    /// One of `cpuModels`.
    public var cpuModel = RunSettings.defaultModel
    /// One of `videoMemorySizes`.
    public var videoMemoryMiB = 16
    /// Tables through which the guest finds power management and interrupts.
    public var acpi = true
    /// Without it interrupts go through the 8259s alone.
    public var ioapic = true
    public var palette = Palette.theme
    public var codePage = CodePage.cp437
    public var engine = Engine.auto
    /// Room for translated code, of all processors together.
    public var codeCacheMiB = 64
    public static let codeCacheRange = 1...1024
    public var clock = Clock.host
    /// Start of the guest's clock, seconds since 1970-01-01 00:00 UTC; nil: the host's time now (virtual clock: a fixed date).
    public var rtcSeconds: Int64?
    /// The guest's clock shows the host's local time, as DOS and Windows want it; otherwise UTC.
    public var rtcLocal = false
    public var disposable = false
    /// COM1 to COM4.
    public var serial: [SerialTarget] = []
    /// nil: there is no virtio console.
    public var virtioConsole: SerialTarget?
    public var virtioRNG = false
    public var virtioBalloon = false
    public var debugConsoles: [DebugConsole] = []
    public var debugExit: Port?
    public var noReboot = false
    public var headless = false
    /// `-` is standard input.
    public var script: String?
    public var screenText: String?
    public var timeoutSeconds: Double?
    public var maxInstructions: UInt64?
    public var stats: String?
    /// Lines that scroll off the text screen, and at the end what is on it, go to this file.
    public var transcript: String?
    /// The run's log; a stored machine has its own beside.
    public var log: String?
    /// Board events that go to the log.
    public var trace = TraceCategories()

    public init() {}

    /// What becomes of writes to a disk, counted from 0.
    public func access(ofDisk index: Int) -> DiskAccess {
        let own = diskAccess.indices.contains(index) ? diskAccess[index] : .writable
        return disposable && own.isWritable ? .disposable : own
    }

    /// `name`, or the file name of the kernel or the first medium without its extension.
    public var displayName: String {
        if !name.isEmpty { return name }
        let file = (kernel ?? floppy ?? cdrom ?? disks.first ?? "PC").split(separator: "/").last.map(String.init) ?? "PC"
        guard let dot = file.lastIndex(of: "."), dot != file.startIndex else { return file }
        return String(file[..<dot])
    }

    /// Of the entropy device with the virtual clock.
    static let fixedSeed: UInt64 = 0x5EED

    /// The other ends by `SerialPump` port.
    var serialTargets: [SerialTarget] {
        serial + [SerialTarget](repeating: .none, count: max(0, SerialPump.virtioConsole - serial.count)) + [virtioConsole ?? .none]
    }

    /// The date that the guest sees at power-on with the virtual clock when `--rtc` is absent: 2000-01-01 00:00 UTC.
    public static let fixedDate: Int64 = 946_684_800

    /// Looks for options that contradict each other or are out of range, without touching a file.
    /// - Throws: `.usage` for the first that does.
    public func validate() throws(MachineError) {
        try validateMachine()
        try validateBoot()
        try validatePorts()
        try validateLimits()
    }

    private func validateMachine() throws(MachineError) {
        guard RunSettings.memoryRangeMiB.contains(memoryMiB) else {
            let range = RunSettings.memoryRangeMiB
            throw .usage("--memory takes \(range.lowerBound) to \(range.upperBound) MiB, not \(memoryMiB).")
        }
        guard (1...BoardSettings.maximumCPUs).contains(cpus) else {
            throw .usage("--cpus takes 1 to \(BoardSettings.maximumCPUs), not \(cpus).")
        }
        guard let model = CPUModel.named(cpuModel) else {
            throw .usage("--cpu-model '\(cpuModel)' is not known; there are \(RunSettings.cpuModels.joined(separator: ", ")).")
        }
        let missing = model.missingOnHost
        if !missing.isEmpty { throw .usage("--cpu-model '\(cpuModel)' needs \(missing.joined(separator: ", ")), which this computer does not have.") }
        guard ioapic || cpus == 1 else { throw .usage("--cpus \(cpus) needs the I/O APIC: leave --no-ioapic out.") }
        guard RunSettings.codeCacheRange.contains(codeCacheMiB) else {
            throw .usage("--code-cache takes 1 to \(RunSettings.codeCacheRange.upperBound) MiB, not \(codeCacheMiB).")
        }
        if engine == .lockstep {
            guard clock == .virtual else { throw .usage("--engine lockstep needs --clock virtual: the engines see the same time.") }
            guard disposable else { throw .usage("--engine lockstep needs --disposable: each engine writes to its own copy.") }
        }
        guard disks.count <= diskInterface.places else {
            let room = diskInterface == .ide ? "3 disks beside the CD drive (8 with --disk-interface virtio)" : "8 disks"
            throw .usage("--disk is given \(disks.count) times; there is room for \(room).")
        }
        guard RunSettings.videoMemorySizes.contains(videoMemoryMiB) else {
            throw .usage("--video-memory takes \(RunSettings.videoMemorySizes.map(String.init).joined(separator: ", ")) MiB, not \(videoMemoryMiB).")
        }
        guard diskAccess.count <= disks.count else {
            throw .usage("--disk-access is given \(diskAccess.count) times for \(disks.count) disks.")
        }
        let images = [floppy, cdrom].compactMap { $0 } + disks
        let written = [floppy].compactMap { $0 } + disks.indices.filter { access(ofDisk: $0).isWritable }.map { disks[$0] }
        for (index, image) in images.enumerated() where !disposable && images[..<index].contains(image) && written.contains(image) {
            throw .usage("'\(image)' is put into two drives at once; that works with --disposable only.")
        }
        for path in images + [kernel, initrd, bios, script, screenText, stats, transcript, log].compactMap({ $0 })
        where path.isEmpty || path.utf8.contains(0) {
            throw .usage("An option that names a file has an empty name.")
        }
    }

    private func validateBoot() throws(MachineError) {
        guard Set(boot).count == boot.count else { throw .usage("--boot names the same device twice.") }
        guard kernel != nil || initrd == nil else { throw .usage("--initrd needs --kernel.") }
        guard kernel != nil || append == nil else { throw .usage("--append needs --kernel.") }
        guard kernel == nil || boot.isEmpty else {
            throw .usage("--kernel and --boot contradict each other: the kernel is what is started.")
        }
    }

    private func validatePorts() throws(MachineError) {
        guard serial.count <= 4 else { throw .usage("--serial is given \(serial.count) times; there are COM1 to COM4.") }
        let ends = serial + [virtioConsole].compactMap { $0 }
        guard ends.filter({ $0 == .stdio }).count <= 1 else { throw .usage("Two serial ports cannot both have stdio.") }
        for (index, target) in ends.enumerated() where target != .none && ends[..<index].contains(target) && target != .pty {
            throw .usage("Two serial ports cannot both have the same file or socket.")
        }
        let option = virtioConsole == .stdio ? "--virtio-console stdio" : "--serial stdio"
        guard headless || !ends.contains(.stdio) else {
            throw .usage("\(option) needs --headless: without it the terminal shows the guest's screen.")
        }
        guard !(script == "-" && ends.contains(.stdio)) else {
            throw .usage("--script - and \(option) cannot both read standard input.")
        }
        var ports = Set<Port>()
        for console in debugConsoles {
            guard ports.insert(console.port).inserted else { throw .usage("--debug-console names port 0x\(console.port.hex) twice.") }
        }
        if let debugExit, ports.contains(debugExit) {
            throw .usage("Port 0x\(debugExit.hex) cannot be both --debug-console and --debug-exit.")
        }
    }

    private func validateLimits() throws(MachineError) {
        if let timeoutSeconds, !(timeoutSeconds > 0 && timeoutSeconds <= 1e9) {
            throw .usage("--timeout takes a number of seconds above 0.")
        }
        guard headless || script != "-" else { throw .usage("--script - needs --headless: without it the keyboard belongs to the guest.") }
    }
}
