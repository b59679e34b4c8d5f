import CPU
import Hardware
import Primitives
import Synchronization

@testable import Machine

/// A board that does what a test says: a closure is called for every slice.
///
/// Unchecked: a test looks at it only when the machine's thread has ended.
final class FakePC: GuestPC, @unchecked Sendable {
    var position: String { "" }
    /// Guest time of one instruction, nanoseconds.
    static let instruction: Nanoseconds = 1_000

    var time: Nanoseconds = 0
    var retired: UInt64 = 0
    var media = MediaBays()
    func replace(_ bay: Bay, with medium: (any Medium)?) { media.replace(bay, with: medium) }
    var output: [(HostStream, [UInt8])] = []
    var frame = TextFrame()
    var picture: PixelFrame? = PixelFrame(width: 1, height: 1, pixels: [0x123456])
    var keyboardLEDs: UInt8 = 0
    var mouseWanted = false
    var typingReady = true
    var outsideDeadline: Nanoseconds?
    let memory: GuestMemory
    /// Key events with the guest time of each.
    var keys: [(key: PCKey, down: Bool, time: Nanoseconds)] = []
    var received: [[UInt8]] = [[], [], [], [], []]
    /// Room of each receiver per call.
    var serialRoom = 16
    var resets = 0, powerButtons = 0
    /// What a slice does, after its instructions are counted; nil: the slice is done.
    var onSlice: (FakePC, Int64) -> GuestStop? = { _, _ in nil }

    init() throws {
        memory = try GuestMemory(ramBytes: 8 << 20, extraBytes: 1 << 20)
        memory.setMap([.init(base: 0, bytes: 8 << 20, read: 0, write: 0)])
        frame.cells = [UInt16](repeating: 0x0720, count: 80 * 25)
    }

    func run(instructions: Int64) -> GuestStop {
        retired &+= UInt64(instructions)
        time &+= UInt64(instructions) &* FakePC.instruction
        return onSlice(self, instructions) ?? .sliceDone
    }
    func now() -> Nanoseconds { time }
    func reset() { resets += 1 }
    func key(_ key: PCKey, down: Bool) { keys.append((key, down, time)) }
    func mouse(dx: Int, dy: Int, buttons: UInt8, wheel: Int) {}
    func serialInput(_ port: Int, _ bytes: [UInt8]) -> Int {
        let taken = min(serialRoom, bytes.count)
        received[port] += bytes.prefix(taken)
        return taken
    }
    func consoleInput(_ bytes: [UInt8]) -> Int { serialInput(SerialPump.virtioConsole, bytes) }
    /// Random bytes that the guest waits for, and those that came.
    var entropyWanted = 0, entropy: [UInt8] = []
    func entropyInput(_ bytes: [UInt8]) {
        entropy += bytes
        entropyWanted = 0
    }
    var balloonMiB: Int?
    func setBalloon(mib: Int) -> Bool {
        balloonMiB = mib
        return true
    }
    func powerButton() { powerButtons += 1 }
    func drainOutput() -> [(HostStream, [UInt8])] {
        defer { output = [] }
        return output
    }
    func textFrame() -> TextFrame { frame }
    func pixels() -> PixelFrame? { picture }
    func digest() -> String { "FAKE" }

    /// Writes a row of text.
    func show(_ text: String, row: Int = 0) {
        for (column, byte) in text.utf8.enumerated() { frame.cells[row * 80 + column] = 0x0700 | UInt16(byte) }
    }
}

/// Runs a fake to its end on the virtual clock, in this thread's time.
func run(_ pc: FakePC, script: String? = nil, _ change: (inout RunParts) -> Void = { _ in }) throws -> (
    outcome: RunOutcome, report: RunReport
) {
    var parts = RunParts()
    // A test that would run for ever ends.
    parts.maxInstructions = 1_000_000_000
    if let script { parts.script = ScriptRunner(try Script(script, name: "test"), name: "test") }
    change(&parts)
    let machine = try RunningMachine(pc: pc, parts: parts)
    machine.start()
    return machine.waitForEnd()
}
