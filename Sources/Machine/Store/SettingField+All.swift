import CPU
import DataFiles
import Hardware
import Primitives

extension SettingField {
    /// Every setting, in the order of the form.
    public static let all: [SettingField] = general + system + display + storage + kernel + ports

    /// Numbers are never meant for other numbers.
    static func suggestion(_ word: String, _ choices: [Choice]) -> String {
        Int(word) == nil ? Nearest.suggestion(word, in: choices.map(\.value)) : ""
    }

    // MARK: Shorthands

    private typealias Path<Value> = WritableKeyPath<MachineSettings, Value> & Sendable

    private static func flag(
        _ key: String, _ title: String, option: String, running: Bool = false, _ path: Path<Bool>, help: String
    ) -> SettingField {
        SettingField(
            key, title, .flag, option: option, running: running, help: help, get: { $0[keyPath: path] ? "on" : "off" },
            set: { text, settings throws(MachineError) in settings[keyPath: path] = text == "on" })
    }

    private static func number(
        _ key: String, _ title: String, _ range: ClosedRange<Int>, unit: String = "", option: String, _ path: Path<Int>, help: String
    ) -> SettingField {
        SettingField(
            key, title, .number(range, unit: unit), option: option, help: help, get: { String($0[keyPath: path]) },
            set: { text, settings throws(MachineError) in settings[keyPath: path] = Int(text) ?? settings[keyPath: path] })
    }

    private static func words<Value: RawRepresentable & Sendable>(
        _ key: String, _ title: String, _ choices: [Choice], option: String, _ path: Path<Value>, help: String
    ) -> SettingField where Value.RawValue == String {
        SettingField(
            key, title, .choice(choices), option: option, help: help, get: { $0[keyPath: path].rawValue },
            set: { text, settings throws(MachineError) in settings[keyPath: path] = Value(rawValue: text) ?? settings[keyPath: path] })
    }

    private static func text(
        _ key: String, _ title: String, _ kind: Kind, option: String, running: Bool = false, _ path: Path<String>, help: String
    ) -> SettingField {
        SettingField(
            key, title, kind, option: option, running: running, optional: true, help: help, get: { $0[keyPath: path] },
            set: { text, settings throws(MachineError) in settings[keyPath: path] = text })
    }

    private static func optional(
        _ key: String, _ title: String, _ kind: Kind, option: String, running: Bool = false, _ path: Path<String?>, help: String
    ) -> SettingField {
        SettingField(
            key, title, kind, option: option, running: running, optional: true, help: help, get: { $0[keyPath: path] ?? "" },
            set: { text, settings throws(MachineError) in settings[keyPath: path] = text.isEmpty ? nil : text })
    }

    private static func lines(_ text: String) -> [String] {
        text.isEmpty ? [] : text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    // MARK: The settings

    private static var general: [SettingField] {
        [
            SettingField(
                "general.os-type", "OS type", .choice(OSType.all.map { Choice($0.id, $0.title) }), option: "--os-type", running: true,
                help: "Says what the guest is; new machines have their defaults from it.", get: { $0.osType },
                set: { text, settings throws(MachineError) in settings.osType = text }),
            text(
                "general.group", "Group", .text, option: "--group", running: true, \.group,
                help: "Where the machine stands in the list; groups nest with /."),
            SettingField(
                "general.tags", "Tags", .list(.text, places: (1...16).map { "Tag \($0)" }), option: "--tag", running: true, optional: true,
                help: "Words to find the machine by.", get: { $0.tags.joined(separator: "\n") },
                set: { text, settings throws(MachineError) in settings.tags = lines(text) }),
            text("general.notes", "Notes", .lines, option: "--notes", running: true, \.notes, help: "Whatever you want to remember of it."),
        ]
    }

    private static var system: [SettingField] {
        let devices = [Choice("a", "floppy"), Choice("c", "disk"), Choice("d", "CD"), Choice("n", "network")]
        return [
            number(
                "system.memory", "Memory", RunSettings.memoryRangeMiB, unit: "MiB", option: "--memory", \.run.memoryMiB,
                help: "Taken from the host as the guest uses it."),
            number(
                "system.cpus", "Processors", 1...BoardSettings.maximumCPUs, option: "--cpus", \.run.cpus,
                help: "They share one thread of the host."),
            SettingField(
                "system.cpu-model", "Processor model", .choice(RunSettings.cpuModels.map { Choice($0, $0) }), option: "--cpu-model",
                help: "What the guest finds: older systems want older processors.", get: { $0.run.cpuModel },
                set: { text, settings throws(MachineError) in settings.run.cpuModel = text }),
            SettingField(
                "system.boot", "Boot order", .order(devices), option: "--boot", optional: true,
                help: "Where the firmware looks, in turn; none: floppy, CD, disk.", get: { String($0.run.boot.map(\.rawValue)) },
                set: { text, settings throws(MachineError) in settings.run.boot = try SettingText.bootOrder(text) }),
            flag(
                "system.acpi", "ACPI", option: "--acpi", \.run.acpi,
                help: "Tables of power management and interrupts; very old systems do without."),
            flag(
                "system.ioapic", "I/O APIC", option: "--ioapic", \.run.ioapic,
                help: "Without it interrupts go through the two 8259s alone, as in PCs before 1995. More than one processor needs it."),
            flag(
                "system.rtc-local", "Clock in local time", option: "--rtc-local", \.run.rtcLocal,
                help: "DOS and Windows want the clock in local time, others in UTC."),
            SettingField(
                "system.rtc", "Clock starts at", .date, option: "--rtc", optional: true,
                help: "A fixed date in place of today's, in UTC.", get: { $0.run.rtcSeconds.map(SettingText.text(date:)) ?? "" },
                set: { text, settings throws(MachineError) in settings.run.rtcSeconds = text.isEmpty ? nil : try SettingText.date(text) }),
            words(
                "system.clock", "Guest time", [Choice("host", "follows the host"), Choice("virtual", "follows instructions")],
                option: "--clock",
                \.run.clock, help: "Following instructions, two runs are identical."),
            words(
                "system.engine", "Engine", [Choice("auto", "automatic"), Choice("translator", "translator"), Choice("interpreter", "interpreter")],
                option: "--engine",
                \.run.engine,
                help: "What carries out the guest's instructions."),
            number(
                "system.code-cache", "Room for code", RunSettings.codeCacheRange, unit: "MiB", option: "--code-cache", \.run.codeCacheMiB,
                help: "For translated code, of all processors together; when it is full, code is dropped and made anew."),
            optional(
                "system.firmware", "Firmware", .file(.firmware), option: "--bios", \.run.bios,
                help: "An image of 64K, 128K or 256K in place of SeaBIOS."),
            flag(
                "system.no-reboot", "Reset ends the run", option: "--no-reboot", \.run.noReboot, help: "A reset by the guest ends the run."),
        ]
    }

    private static var display: [SettingField] {
        [
            SettingField(
                "display.video-memory", "Video memory",
                .choice(RunSettings.videoMemorySizes.map { Choice(String($0), "\($0) MiB") }), option: "--video-memory",
                help: "Of the VGA, in MiB; it limits the graphics modes.", get: { String($0.run.videoMemoryMiB) },
                set: { text, settings throws(MachineError) in settings.run.videoMemoryMiB = Int(text) ?? settings.run.videoMemoryMiB }),
            words(
                "display.palette", "Colours",
                [
                    Choice("theme", "as the theme says"), Choice("vga", "the VGA's"), Choice("terminal", "the terminal's"), Choice("amber", "amber"),
                    Choice("green", "green"), Choice("mono", "white"),
                ], option: "--palette", \.run.palette, help: "The guest's sixteen colours on your terminal."),
            words(
                "display.charset", "Character set", CodePage.allCases.map { Choice($0.rawValue, $0.title) }, option: "--charset", \.run.codePage,
                help: "What the guest's text characters are, when it has loaded a font of its own: on the screen, in copies, scripts and transcripts."),
        ]
    }

    private static var storage: [SettingField] {
        let disks = (1...Bay.virtioDisks.count).map { "Disk \($0)" }
        let access = [
            Choice("writable", "writable"), Choice("write-through", "each write is waited for"),
            Choice("disposable", "writes are thrown away"), Choice("read-only", "read-only"),
        ]
        return [
            words(
                "storage.disk-interface", "Disks are on", [Choice("ide", "IDE"), Choice("virtio", "virtio")], option: "--disk-interface",
                \.run.diskInterface, help: "IDE has room for 3 disks beside the CD; virtio for 8, and is faster for guests that know it."),
            SettingField(
                "storage.disks", "Disks", .list(.file(.disk), places: disks), option: "--disk", optional: true,
                help: "Images in turn: IDE primary master, primary slave, secondary slave; or virtio.",
                get: { $0.run.disks.joined(separator: "\n") },
                set: { text, settings throws(MachineError) in settings.run.disks = lines(text) }),
            SettingField(
                "storage.disk-access", "Access", .list(.choice(access), places: disks), option: "--disk-access", optional: true,
                help: "Of the disks in turn: what becomes of the guest's writes.",
                get: { $0.run.diskAccess.map(\.rawValue).joined(separator: "\n") },
                set: { text, settings throws(MachineError) in
                    settings.run.diskAccess = lines(text).compactMap(RunSettings.DiskAccess.init(rawValue:))
                }),
            flag(
                "storage.disposable", "All writes thrown away", option: "--disposable", \.run.disposable,
                help: "What the guest writes to disks and floppies is gone with the run."),
            optional(
                "storage.floppy", "Floppy", .file(.floppy), option: "--floppy", running: true, \.run.floppy,
                help: "In drive A:; the size decides the geometry."),
            optional(
                "storage.cdrom", "CD", .file(.cdrom), option: "--cdrom", running: true, \.run.cdrom,
                help: "In the drive at the secondary master."),
        ]
    }

    private static var kernel: [SettingField] {
        [
            optional(
                "kernel.image", "Kernel", .file(.kernel), option: "--kernel", \.run.kernel,
                help: "A bzImage, Multiboot image or ELF32 file, started without a boot loader."),
            optional(
                "kernel.initrd", "Initial RAM disk", .file(.initrd), option: "--initrd", \.run.initrd,
                help: "For the kernel: RAM disk or first module."),
            optional("kernel.append", "Command line", .text, option: "--append", \.run.append, help: "For the kernel."),
        ]
    }

    private static var ports: [SettingField] {
        [
            SettingField(
                "serial.ports", "Serial ports", .list(.serialEnd, places: ["COM1", "COM2", "COM3", "COM4"]), option: "--serial",
                optional: true,
                help: "Other ends of COM1 to COM4: stdio, none, pty, file:PATH or socket:PATH.",
                get: { $0.run.serial.map(\.text).joined(separator: "\n") },
                set: { text, settings throws(MachineError) in
                    var ends: [SerialTarget] = []
                    for line in lines(text) { ends.append(try SerialTarget(line)) }
                    settings.run.serial = ends
                }),
            SettingField(
                "virtio.console", "Virtio console", .serialEnd, option: "--virtio-console", optional: true,
                help: "Other end of a virtio console, hvc0 in Linux.", get: { $0.run.virtioConsole?.text ?? "" },
                set: { text, settings throws(MachineError) in settings.run.virtioConsole = text.isEmpty ? nil : try SerialTarget(text) }),
            flag(
                "virtio.rng", "Random numbers", option: "--virtio-rng", \.run.virtioRNG,
                help: "A virtio source of the host's random numbers."),
            flag(
                "virtio.balloon", "Balloon", option: "--virtio-balloon", \.run.virtioBalloon,
                help: "A virtio balloon, through which the guest gives memory back."),
            SettingField(
                "debug.consoles", "Debug consoles", .list(.port, places: (1...8).map { "Console \($0)" }), option: "--debug-console",
                optional: true, help: "What the guest writes to the I/O port goes to the file: PORT=FILE.",
                get: { $0.run.debugConsoles.map(SettingText.text).joined(separator: "\n") },
                set: { text, settings throws(MachineError) in
                    var consoles: [RunSettings.DebugConsole] = []
                    for line in lines(text) { consoles.append(try SettingText.debugConsole(line)) }
                    settings.run.debugConsoles = consoles
                }),
            SettingField(
                "debug.transcript", "Transcript", .file(.output), option: "--transcript", optional: true,
                help: "A file for the lines that scroll off the text screen; what is on the screen at the end follows.",
                get: { $0.run.transcript ?? "" },
                set: { text, settings throws(MachineError) in settings.run.transcript = text.isEmpty ? nil : text }),
            SettingField(
                "debug.trace", "Trace", .text, option: "--trace", optional: true,
                help: "Board events that go to the log: \(TraceCategory.allCases.map(\.name).joined(separator: ", ")) or all, with commas between.",
                get: { $0.run.trace.names.joined(separator: ",") },
                set: { text, settings throws(MachineError) in
                    settings.run.trace = try TraceCategories(words: text.split(separator: ",").map { $0.filter { $0 != " " } })
                }),
            SettingField(
                "debug.exit", "Debug exit", .port, option: "--debug-exit", optional: true,
                help: "A guest write of V to the I/O port ends the run with status ((V << 1) | 1) & 255.",
                get: { $0.run.debugExit.map { "0x" + $0.hex } ?? "" },
                set: { text, settings throws(MachineError) in settings.run.debugExit = text.isEmpty ? nil : try SettingText.port(text) }),
        ]
    }
}
