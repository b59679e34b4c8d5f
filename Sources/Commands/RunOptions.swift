import ArgumentParser
import Hardware
import Machine
import Primitives

struct MediaOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Drive A:; the size decides the geometry, 160K to 2.88M.", valueName: "file"))
    var floppy: String?
    @Option(help: ArgumentHelp("A hard disk; repeatable: primary master, primary slave, secondary slave.", valueName: "file"))
    var disk: [String] = []
    @Option(
        help: ArgumentHelp("What the hard disks are on: ide (up to 3) or virtio (up to 8).", valueName: "interface"),
        transform: OptionValue.diskInterface)
    var diskInterface = RunSettings.DiskInterface.ide
    @Option(
        help: ArgumentHelp(
            "What becomes of the guest's writes, for each disk in turn: writable, write-through, disposable or read-only.", valueName: "access"),
        transform: OptionValue.diskAccess)
    var diskAccess: [RunSettings.DiskAccess] = []
    @Option(help: ArgumentHelp("A CD in the drive at the secondary master.", valueName: "file"))
    var cdrom: String?
    @Option(
        help: ArgumentHelp("Boot order: a (floppy), c (disk), d (CD), n (network), for example dc.", valueName: "order"),
        transform: OptionValue.bootOrder)
    var boot: [RunSettings.BootDevice]?
    @Flag(help: "Writes go to a throw-away layer; the files given are opened read-only.")
    var disposable = false

    func apply(to settings: inout RunSettings) {
        settings.floppy = floppy
        settings.disks = disk
        settings.diskInterface = diskInterface
        settings.diskAccess = diskAccess
        settings.cdrom = cdrom
        settings.boot = boot ?? []
        settings.disposable = disposable
    }
}

struct KernelOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A bzImage, Multiboot image or ELF32 file to start.", valueName: "file"))
    var kernel: String?
    @Option(help: ArgumentHelp("The kernel's initial RAM disk or first module.", valueName: "file"))
    var initrd: String?
    @Option(help: ArgumentHelp("The kernel's command line.", valueName: "text"))
    var append: String?

    func apply(to settings: inout RunSettings) {
        settings.kernel = kernel
        settings.initrd = initrd
        settings.append = append
    }
}

struct MachineOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Firmware image of 64K, 128K or 256K in place of SeaBIOS.", valueName: "file"))
    var bios: String?
    @Option(help: ArgumentHelp("Memory in MiB; 128 when not given.", valueName: "mib"))
    var memory: Int?
    @Option(help: ArgumentHelp("Processors, 1 to 8.", valueName: "n"))
    var cpus = 1
    @Option(
        help: ArgumentHelp("Processor model: \(RunSettings.cpuModels.joined(separator: ", ")).", valueName: "name"))
    var cpuModel: String?
    @Option(
        help: ArgumentHelp("Video memory in MiB: 1, 2, 4, 8 or 16.", valueName: "mib"))
    var videoMemory = 16
    @Flag(inversion: .prefixedNo, help: "Tables of power management and interrupts.")
    var acpi = true
    @Flag(inversion: .prefixedNo, help: "The I/O APIC; without it interrupts go through the 8259s alone.")
    var ioapic = true
    @Option(
        help: ArgumentHelp("The guest's colours: \(RunSettings.Palette.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "name"),
        transform: OptionValue.palette)
    var palette = RunSettings.Palette.theme
    @Option(
        help: ArgumentHelp(
            "What the guest's text characters are: \(CodePage.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "name"),
        transform: OptionValue.codePage)
    var charset = CodePage.cp437
    @Option(help: ArgumentHelp("auto, translator or interpreter.", valueName: "engine"), transform: OptionValue.engine)
    var engine = RunSettings.Engine.auto
    @Option(help: ArgumentHelp("Room for translated code in MiB, 1 to 1024.", valueName: "mib"))
    var codeCache = 64
    @Option(
        help: ArgumentHelp(
            "host: guest time follows host time; virtual: it follows retired instructions, runs repeat exactly.", valueName: "clock"),
        transform: OptionValue.clock)
    var clock = RunSettings.Clock.host
    @Option(
        help: ArgumentHelp("Start of the guest's clock in UTC, for example 2001-02-03T04:05:06.", valueName: "iso8601"),
        transform: OptionValue.date)
    var rtc: Int64?
    @Flag(help: "The guest's clock shows local time in place of UTC, as DOS and Windows want it.")
    var rtcLocal = false
    @Flag(help: "A virtio source of random numbers; with --clock virtual they repeat.")
    var virtioRng = false
    @Flag(help: "A virtio balloon, through which the guest can give memory back.")
    var virtioBalloon = false

    func apply(to settings: inout RunSettings) {
        settings.bios = bios
        settings.memoryMiB = memory ?? settings.memoryMiB
        settings.cpus = cpus
        settings.cpuModel = cpuModel ?? settings.cpuModel
        settings.videoMemoryMiB = videoMemory
        settings.acpi = acpi
        settings.ioapic = ioapic
        (settings.palette, settings.codePage) = (palette, charset)
        settings.rtcLocal = rtcLocal
        settings.engine = engine
        settings.codeCacheMiB = codeCache
        settings.clock = clock
        settings.rtcSeconds = rtc
        settings.virtioRNG = virtioRng
        settings.virtioBalloon = virtioBalloon
    }
}

struct PortOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("COM1 to COM4 in turn: stdio, none, pty, file:PATH or socket:PATH.", valueName: "end"),
        transform: OptionValue.serial)
    var serial: [SerialTarget] = []
    @Option(
        help: ArgumentHelp("A virtio console; its other end as for --serial.", valueName: "end"), transform: OptionValue.serial)
    var virtioConsole: SerialTarget?
    @Option(
        help: ArgumentHelp(
            "What the guest writes to the I/O port goes to the file, or to standard error; repeatable.", valueName: "port[=file]"),
        transform: OptionValue.debugConsole)
    var debugConsole: [RunSettings.DebugConsole] = []
    @Option(
        help: ArgumentHelp("A guest write of V to the I/O port ends the run with status ((V << 1) | 1) & 255.", valueName: "port"),
        transform: OptionValue.port)
    var debugExit: UInt16?
    @Option(help: ArgumentHelp("Lines that scroll off the text screen, and at the end what is on it.", valueName: "file"))
    var transcript: String?
    @Option(
        help: ArgumentHelp(
            "Board events that go to the log: \(TraceCategory.allCases.map(\.name).joined(separator: ", ")) or all, with commas between.",
            valueName: "categories"),
        transform: OptionValue.trace)
    var trace: TraceCategories?

    func apply(to settings: inout RunSettings) {
        settings.serial = serial
        settings.virtioConsole = virtioConsole
        settings.debugConsoles = debugConsole
        settings.debugExit = debugExit
        settings.transcript = transcript
        settings.trace = trace ?? []
    }
}

struct ControlOptions: ParsableArguments {
    @Flag(help: "A guest reset ends the run.")
    var noReboot = false
    @Flag(help: "No screen.")
    var headless = false
    @Option(help: ArgumentHelp("Commands to carry out; - is standard input.", valueName: "file"))
    var script: String?
    @Option(help: ArgumentHelp("At the end: the text screen.", valueName: "file"))
    var screenText: String?
    @Option(help: ArgumentHelp("End the run after so many seconds, with status 124.", valueName: "seconds"))
    var timeout: Double?
    @Option(help: ArgumentHelp("End the run after exactly so many instructions.", valueName: "n"))
    var maxInstructions: UInt64?
    @Option(help: ArgumentHelp("At the end: a JSON object about the run.", valueName: "file"))
    var stats: String?
    @Option(help: ArgumentHelp("What the machine does, the firmware's messages and trace events.", valueName: "file"))
    var log: String?

    func apply(to settings: inout RunSettings) {
        settings.noReboot = noReboot
        settings.headless = headless
        settings.script = script
        settings.screenText = screenText
        settings.timeoutSeconds = timeout
        settings.maxInstructions = maxInstructions
        settings.stats = stats
        settings.log = log
    }
}

struct ScreenOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Colours of the screen around the guest.", valueName: "name"))
    var theme: String?
    @Option(help: ArgumentHelp("Keys of the screen around the guest.", valueName: "name"))
    var keymap: String?
    @Option(help: ArgumentHelp("The key before commands to the console, for example C-].", valueName: "key"))
    var hostKey: String?
    @Flag(help: "7-bit characters only.")
    var ascii = false
    @Flag(help: "No colours.")
    var mono = false
    @Flag(help: "For screen readers: no frames, linear menus, the cursor where the attention is.")
    var screenReader = false

    var settings: ConsoleSettings {
        var settings = ConsoleSettings()
        settings.theme = theme
        settings.keymap = keymap
        settings.hostKey = hostKey
        settings.ascii = ascii
        settings.mono = mono
        settings.screenReader = screenReader
        return settings
    }
}
