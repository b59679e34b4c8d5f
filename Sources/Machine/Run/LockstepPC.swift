import CPU
import Foundation
import Hardware
import Primitives

/// Two boards with the same inputs, one with the translator and one with the interpreter, compared all the time: `--engine lockstep`.
///
/// Virtual clock only. At the first difference the run ends as a failure of ours, with the registers of both. Processors are compared every
/// `step` instructions, the whole state every 2^26. `VITRINE_LOCKSTEP=FIRST,STEP` compares closely from instruction FIRST on.
final class LockstepPC: GuestPC {
    private let subject: PC
    private let reference: PC
    private let diagnose: @Sendable (String) -> Void
    private var step: Int64 = 4096
    private var close: (first: UInt64, step: Int64)?
    private var nextWhole: UInt64 = 0
    /// The run loop has put a part of a kernel into the subject's memory.
    private var memoryGiven = false

    /// - Parameters:
    ///   - subject: with the translator; its output is the run's.
    init(subject: PC, reference: PC, diagnose: @escaping @Sendable (String) -> Void) {
        (self.subject, self.reference, self.diagnose) = (subject, reference, diagnose)
        let parts = ProcessInfo.processInfo.environment["VITRINE_LOCKSTEP"]?.split(separator: ",").compactMap { UInt64($0) } ?? []
        if parts.count == 2 { close = (parts[0], Int64(clamping: parts[1])) }
    }

    func run(instructions: Int64) -> GuestStop {
        if memoryGiven {
            subject.memory.withBytes(of: subject.memory.ram) {
                reference.memory.fill(reference.memory.ram, at: 0, with: UnsafeRawBufferPointer($0))
            }
            memoryGiven = false
        }
        var left = instructions
        while true {
            let start = subject.retired
            var piece = step
            if let close {
                if start >= close.first { piece = close.step } else { piece = min(piece, Int64(close.first - start)) }
            }
            piece = min(piece, left)
            let before = subject.registers
            let stop = subject.run(instructions: piece)
            let other = reference.run(instructions: piece)
            guard stop == other, subject.retired == reference.retired, isSame() else {
                report(from: start, before, stop, other)
                exit(1)
            }
            if case .bootHook = stop { memoryGiven = true }
            left -= Int64(clamping: subject.retired &- start)
            if stop != .sliceDone || left <= 0 || subject.retired == start { return stop }
        }
    }

    private func isSame() -> Bool {
        var (one, two) = (Digest(), Digest())
        for (digest, pc) in [(0, subject), (1, reference)] {
            for engine in pc.engines { if digest == 0 { engine.digest(into: &one) } else { engine.digest(into: &two) } }
        }
        guard one.value == two.value else { return false }
        guard subject.retired >= nextWhole else { return true }
        nextWhole = subject.retired + 1 << 26
        return subject.digest() == reference.digest()
    }

    private func report(from start: UInt64, _ before: String, _ stop: GuestStop, _ other: GuestStop) {
        diagnose("The engines differ between instructions \(start) and \(subject.retired) (\(reference.retired)); \(stop), \(other).")
        diagnose("Before:\n\(before)\nTranslator:\n\(subject.registers)\nInterpreter:\n\(reference.registers)")
        for (name, pc) in [("translator", subject), ("interpreter", reference)] {
            if let processor = pc.processor { diagnose("\(name): flags \(String(processor.eflags, radix: 16))") }
        }
    }

    private func both<R>(_ body: (PC) -> R) -> R {
        _ = body(reference)
        return body(subject)
    }

    var position: String { subject.position }
    var outsideDeadline: Nanoseconds? {
        get { subject.outsideDeadline }
        set { both { $0.outsideDeadline = newValue } }
    }
    func reset() { both { $0.reset() } }
    func key(_ key: PCKey, down: Bool) { both { $0.key(key, down: down) } }
    func mouse(dx: Int, dy: Int, buttons: UInt8, wheel: Int) { both { $0.mouse(dx: dx, dy: dy, buttons: buttons, wheel: wheel) } }
    func serialInput(_ port: Int, _ bytes: [UInt8]) -> Int { both { $0.serialInput(port, bytes) } }
    func consoleInput(_ bytes: [UInt8]) -> Int { both { $0.consoleInput(bytes) } }
    var entropyWanted: Int { subject.entropyWanted }
    func entropyInput(_ bytes: [UInt8]) { both { $0.entropyInput(bytes) } }
    func setBalloon(mib: Int) -> Bool { both { $0.setBalloon(mib: mib) } }
    func powerButton() { both { $0.powerButton() } }
    /// Drives cannot be changed while the engines are compared: the boards have media of their own.
    var media: MediaBays {
        get { subject.media }
        set {}
    }
    func replace(_ bay: Bay, with medium: (any Medium)?) {}
    func drainOutput() -> [(HostStream, [UInt8])] { both { $0.drainOutput() } }
    func textFrame() -> TextFrame { both { $0.textFrame() } }
    func pixels() -> PixelFrame? { both { $0.pixels() } }
    func digest() -> String { subject.digest() }
    var keyboardLEDs: UInt8 { subject.keyboardLEDs }
    var mouseWanted: Bool { subject.mouseWanted }
    var typingReady: Bool { both { $0.typingReady } }
    var retired: UInt64 { subject.retired }
    func now() -> Nanoseconds { both { $0.now() } }
    var memory: GuestMemory { subject.memory }
    var tap: BoardTap? {
        get { subject.tap }
        set { subject.tap = newValue }
    }
    func settleText(halted: Bool) { both { $0.settleText(halted: halted) } }
    var registers: String { subject.registers }
    func takeUndefined() -> [UndefinedInstruction] { both { $0.takeUndefined() } }
    var fatalUndefined: UndefinedInstruction? { subject.fatalUndefined }
    var census: Census { subject.census }
}
