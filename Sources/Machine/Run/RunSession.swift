import CPU
import Foundation
import Hardware
import Primitives
import Synchronization

/// One run from its settings to its exit status: opens what is asked for, builds the board, and at the end writes what is due.
public final class RunSession: Sendable {
    public let machine: RunningMachine
    /// Where the serial ports are, for the user.
    public let notes: [String]
    private let settings: RunSettings
    /// `--log`; a stored machine's log is closed by whoever opened it.
    private let ownLog: MachineLog?
    private let diagnose: @Sendable (String) -> Void
    /// `--gdb`.
    private let gdb: GDBServer?
    /// The user wants out: a standard output that nobody reads must not hold the machine up.
    private let hurry: Flag
    /// A Guru Meditation is told of when it happens.
    private let keepsStuck: Bool

    /// Settable from any thread.
    private final class Flag: Sendable {
        private let value = Atomic<Bool>(false)
        func raise() { value.store(true, ordering: .relaxed) }
        var isRaised: Bool { value.load(ordering: .relaxed) }
    }
    /// Lets parts that are made before the machine speak to it.
    private final class Line: Sendable {
        private let machine = Mutex<RunningMachine?>(nil)
        func connect(_ machine: RunningMachine) { self.machine.withLock { $0 = machine } }
        func post(_ command: MachineCommand) { machine.withLock { $0 }?.post(command) }
    }

    /// Checks everything before anything is written or started.
    /// - Parameters:
    ///   - diagnose: takes sentences for the user, from any thread.
    ///   - keptLog: a stored machine's; what the firmware says goes there too.
    ///   - served: a control socket looks at the machine.
    ///   - savedState: a stored machine's; when there is one, the machine goes on from it.
    ///   - keepsStuck: a Guru Meditation stays to be looked at.
    ///   - checkPlace: asked when all inputs are good and nothing has been written: can the run be shown here?
    /// - Throws: the first thing that is wrong, in the order usage, inputs, place, outputs.
    public init(
        _ settings: RunSettings, keptLog: MachineLog? = nil, served: Bool = false, savedState: SavedState? = nil, keepsStuck: Bool = false,
        diagnose: @escaping @Sendable (String) -> Void,
        checkPlace: () throws(MachineError) -> Void = {}
    ) throws(MachineError) {
        try settings.validate()
        if !settings.trace.isEmpty, settings.log == nil, keptLog == nil { throw .usage("--trace needs --log: events are written to the log.") }
        self.settings = settings
        self.diagnose = diagnose
        let hurry = Flag()
        let line = Line()
        self.hurry = hurry
        self.keepsStuck = keepsStuck

        var parts = RunParts()
        parts.name = settings.displayName
        parts.script = try RunSession.script(settings)
        let bios = try RunSession.bios(settings)
        let vgaBIOS = try FirmwareFiles.load(FirmwareFiles.vgaName)
        parts.kernel = try RunSession.kernel(settings)
        let media = try MediaShelf(settings)
        parts.media = media.paths
        // A recording machine has the virtual clock, and is held back to real time.
        if settings.clock == .host, settings.record { parts.pace = HostClock() } else if settings.clock == .host { parts.hostClock = HostClock() }
        parts.records = settings.record
        parts.recordLimits.bytes = settings.recordMiB << 20
        var board = RunSession.board(
            settings, bios: bios, vgaBIOS: vgaBIOS, media: media, kernel: parts.kernel != nil, clock: parts.hostClock)
        let wantsFirmwareLog = keptLog != nil || settings.log != nil
        if wantsFirmwareLog {
            parts.guestLogPort = RunSession.firmwarePort
            if !board.debugConsolePorts.contains(RunSession.firmwarePort), settings.debugExit != RunSession.firmwarePort {
                board.debugConsolePorts.append(RunSession.firmwarePort)
            }
        }
        let pc: PC
        do {
            pc = try PC(board)
        } catch {
            throw .failed(error.sentence)
        }
        pc.media = media.bays
        parts.savedState = savedState
        parts.debugFolder = savedState?.folder
        parts.debugStop = settings.debugStop
        parts.diskBays = MediaShelf.diskBays(settings.diskInterface)
        if let savedState, SavedState.exists(in: savedState.folder) {
            parts.restored = try StateLoader.load(savedState.path, into: pc, clock: parts.hostClock, catchesUp: settings.rtcCatchesUp).runner
            for bay in Bay.allCases {
                if let medium = pc.media[bay] { pc.replace(bay, with: GuardedMedium(medium, savedState)) }
            }
        }

        try checkPlace()
        if let path = settings.screenText { try WholeFile.checkWritable(path, what: "screen text") }
        if let path = settings.stats { try WholeFile.checkWritable(path, what: "statistics") }
        for console in settings.debugConsoles {
            parts.debugConsoles[console.port] = try RunSession.debugConsole(console)
        }
        parts.log = keptLog
        if let path = settings.log, keptLog == nil { parts.log = try MachineLog(file: path) }
        parts.log?.writeHead(settings)
        parts.transcript = try settings.transcript.map { path throws(MachineError) in try FilePort(path: path, what: "transcript") }
        parts.trace = settings.trace
        if served || keepsStuck || parts.log != nil || parts.transcript != nil { pc.tap = BoardTap(ring: parts.log?.traceRing ?? RunSession.plainRing()) }
        let serial = try SerialPump.open(
            settings.serialTargets,
            quit: {
                hurry.raise()
                line.post(.powerOff)
            }, abandoned: { hurry.isRaised })
        parts.serial = serial
        var hint: GDBArchitecture?
        if case .linux(let image)? = parts.kernel?.image { hint = image.is64 ? .amd64 : .i386 } else if parts.kernel != nil { hint = .i386 }
        gdb = try settings.gdb.map { address throws(MachineError) in try GDBServer(address, hint: hint) }
        notes = serial.notes + (gdb.map { ["In gdb: target remote \($0.place)"] } ?? [])
        parts.noReboot = settings.noReboot
        parts.maxInstructions = settings.maxInstructions
        parts.timeout = settings.timeoutSeconds.map { Nanoseconds($0 * 1e9) }
        parts.hasViewer = !settings.headless || served
        parts.openMedium = { [disposable = settings.disposable] bay, path throws(MachineError) in
            try MediaShelf.open(bay, path, disposable: disposable)
        }
        parts.wantsDigest = settings.stats != nil
        parts.engineName = (settings.engine == .auto ? .translator : settings.engine).rawValue
        parts.memoryMiB = settings.memoryMiB
        (parts.codePage, parts.palette, parts.keepsStuck) = (settings.codePage, settings.palette, keepsStuck || settings.gdb != nil)
        var described = MachineSettings()
        described.run = settings
        parts.configuration = (try? MachineFile(described, path: MachineFile.name))?.text ?? ""
        parts.logPath = parts.log?.path
        CrashNote.describe(machine: settings.displayName, log: parts.logPath)
        parts.diagnose = diagnose
        ownLog = keptLog == nil ? parts.log : nil
        machine = try RunningMachine(pc: settings.engine == .lockstep ? LockstepPC(
            subject: pc, reference: RunSession.reference(board, settings), diagnose: diagnose) : pc, parts: parts)
        machine.diskPaths = settings.disks
        line.connect(machine)
    }

    /// The board that is compared with.
    private static func reference(_ board: BoardSettings, _ settings: RunSettings) throws(MachineError) -> PC {
        var board = board
        board.translation = nil
        do {
            let pc = try PC(board)
            pc.media = try MediaShelf(settings).bays
            return pc
        } catch let error as MachineError {
            throw error
        } catch let error as BoardError {
            throw .failed(error.sentence)
        } catch {
            throw .failed("The second machine cannot be made.")
        }
    }

    // MARK: Parts

    /// Where SeaBIOS writes what it does.
    private static let firmwarePort: Primitives.Port = 0x402

    /// A ring for a machine without a log: only what scrolls off the screen is wanted of its tap. It lives as long as the process.
    private static func plainRing() -> TraceRing {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: TraceRing.bytes, alignment: 8)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: TraceRing.bytes)
        return TraceRing(memory)
    }

    private static func script(_ settings: RunSettings) throws(MachineError) -> ScriptRunner? {
        guard let path = settings.script else { return nil }
        let name = path == "-" ? "standard input" : path
        let text = try Script.read(path, limit: 1 << 24)
        return ScriptRunner(try Script(text, name: name), name: name)
    }

    private static func bios(_ settings: RunSettings) throws(MachineError) -> [UInt8] {
        if let path = settings.bios { return try FirmwareFiles.custom(path) }
        return try FirmwareFiles.load(FirmwareFiles.biosName)
    }

    private static func debugConsole(_ console: RunSettings.DebugConsole) throws(MachineError) -> FilePort {
        if let path = console.path { return try FilePort(path: path, what: "debug console") }
        return FilePort(descriptor: STDERR_FILENO)
    }

    private static func kernel(_ settings: RunSettings) throws(MachineError) -> KernelLoader? {
        guard let path = settings.kernel else { return nil }
        let kernel = try WholeFile.read(path, what: "kernel")
        let initrd = try settings.initrd.map { path throws(MachineError) in try WholeFile.read(path, what: "initial RAM disk") }
        return try KernelLoader(
            kernel: kernel, name: path, initrd: initrd, initrdName: settings.initrd ?? "", commandLine: settings.append ?? "",
            ramBytes: UInt64(settings.memoryMiB) << 20)
    }

    private static func board(
        _ settings: RunSettings, bios: [UInt8], vgaBIOS: [UInt8], media: MediaShelf, kernel: Bool, clock: HostClock?
    ) -> BoardSettings {
        var board = BoardSettings(bios: bios, vgaBIOS: vgaBIOS)
        if settings.engine != .interpreter {
            board.translation = TranslationSettings(codeBytes: max(settings.codeCacheMiB << 20 / max(settings.cpus, 1), 1 << 20))
        }
        board.ramMiB = settings.memoryMiB
        board.cpus = settings.cpus
        if let model = CPUModel.named(settings.cpuModel) { board.processor = model }
        // Without a wish: a floppy in the drive is there to be started, then the CD, then the disk.
        board.bootOrder = settings.boot.isEmpty ? "acd" : String(settings.boot.map(\.rawValue))
        board.videoMemoryMiB = settings.videoMemoryMiB
        board.acpi = settings.acpi
        board.ioapic = settings.ioapic
        board.rtcEpochSeconds = settings.rtcSeconds ?? (settings.clock == .virtual ? RunSettings.fixedDate : Int64(time(nil)))
        if settings.rtcLocal { board.rtcEpochSeconds += Int64(localOffset(board.rtcEpochSeconds)) }
        if let clock { board.clock = .host { clock.guestTime() } }
        board.debugConsolePorts = settings.debugConsoles.map(\.port)
        board.debugExitPort = settings.debugExit
        board.floppyTypes = (media.floppyType, 0)
        board.bootHook = kernel
        if kernel { board.fwCfgFiles[KernelROM.fileName] = KernelROM.image(hookPort: BootHook.port) }
        board.rebootEndsRun = settings.noReboot
        if settings.diskInterface == .virtio { board.virtio.disks = settings.disks.count }
        board.virtio.console = settings.virtioConsole != nil
        board.virtio.balloon = settings.virtioBalloon
        if settings.virtioRNG { board.virtio.entropy = settings.clock == .virtual ? .seed(RunSettings.fixedSeed) : .host }
        return board
    }

    /// Seconds that the host's local time is ahead of UTC at a moment.
    private static func localOffset(_ seconds: Int64) -> Int {
        var moment = time_t(seconds), parts = tm()
        localtime_r(&moment, &parts)
        return parts.tm_gmtoff
    }

    // MARK: Running

    /// How it ended; nil: it goes on.
    public var outcome: RunOutcome? { machine.view().outcome }

    public func start() {
        gdb?.start(machine)
        machine.start()
    }

    /// Ends the run from outside: a signal, or the front end is gone.
    public func quit() {
        hurry.raise()
        machine.post(.powerOff)
    }

    /// Blocks until the run ends, writes screen and statistics, tells the user why it ended when that is not plain.
    /// - Returns: the exit status.
    public func finish() -> Int32 {
        let (outcome, report) = machine.waitForEnd()
        gdb?.finish()
        ownLog?.finish()
        var status = outcome.exitStatus
        if let message = outcome.message, !keepsStuck || status != 3 { diagnose(message) }
        do {
            if let path = settings.screenText {
                try WholeFile.write(Array(machine.view().frame.text.utf8), to: path, what: "screen text")
            }
            if let path = settings.stats { try WholeFile.write(report.json(), to: path, what: "statistics") }
        } catch {
            diagnose(error.description)
            if status == 0 { status = 1 }
        }
        return status
    }
}
