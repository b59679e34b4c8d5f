import CPU
import Hardware
import Primitives

/// Why the board came back from running.
public typealias GuestStop = PCStop

/// The board as the run loop uses it: the real one is `PC`, tests put a scripted one in its place.
///
/// All calls come from the machine's thread.
public protocol GuestPC: AnyObject {
    /// CS and offset of the next instruction, for reports.
    var position: String { get }
    /// Virtual clock: guest time at which the caller wants to act; halts are not skipped beyond it.
    var outsideDeadline: Nanoseconds? { get set }
    /// Runs at most so many instructions, exactly.
    func run(instructions: Int64) -> GuestStop
    func reset()
    func key(_ key: PCKey, down: Bool)
    func mouse(dx: Int, dy: Int, buttons: UInt8, wheel: Int)
    /// Returns how many bytes the receiver of COM n took.
    func serialInput(_ port: Int, _ bytes: [UInt8]) -> Int
    /// Returns how many bytes the virtio console took.
    func consoleInput(_ bytes: [UInt8]) -> Int
    /// Random bytes of the host that the guest waits for.
    var entropyWanted: Int { get }
    func entropyInput(_ bytes: [UInt8])
    /// False: there is no balloon.
    @discardableResult func setBalloon(mib: Int) -> Bool
    func powerButton()
    var media: MediaBays { get set }
    /// Another way to the same medium: the guest does not notice.
    func replace(_ bay: Bay, with medium: (any Medium)?)
    /// What the guest sent since the last call, in order.
    func drainOutput() -> [(HostStream, [UInt8])]
    func textFrame() -> TextFrame
    func pixels() -> PixelFrame?
    /// Of processor, RAM and chips.
    func digest() -> String
    var keyboardLEDs: UInt8 { get }
    /// The guest enabled the PS/2 mouse.
    var mouseWanted: Bool { get }
    /// The keyboard has nothing left to deliver.
    var typingReady: Bool { get }
    /// Retired instructions since power-on.
    var retired: UInt64 { get }
    /// nil: everything is interpreted.
    var translationStatistics: TranslationStatistics? { get }
    /// Guest time. With the virtual clock halts are skipped over by the board itself.
    func now() -> Nanoseconds
    /// Deadlines that chips were called at.
    var firings: UInt64 { get set }
    var memory: GuestMemory { get }
    /// What the board tells of itself; nil: nobody listens.
    var tap: BoardTap? { get set }
    /// Lines that scrolled off a screen at rest come to the tap.
    /// - Parameter halted: the guest sleeps, so nothing is half done.
    func settleText(halted: Bool)
    /// Of all processors, for people.
    var registers: String { get }
    /// Of all processors together.
    var census: Census { get }
    /// For saved state; nil: there is none.
    var savedBoard: BoardState? { get }
    /// - Throws: what does not fit; nothing has changed then.
    func goOn(from state: BoardState) throws(BoardStateError)
    /// Instructions that got #UD for their bytes since the last call.
    func takeUndefined() -> [UndefinedInstruction]
    /// What the shutdown that ended the last run began with, when that was such an instruction.
    var fatalUndefined: UndefinedInstruction? { get }
    /// Kinds of events that are wanted beside those that are always told of.
    func trace(_ categories: TraceCategories)
}

extension GuestPC {
    public var translationStatistics: TranslationStatistics? { nil }
    public var tap: BoardTap? {
        get { nil }
        set {}
    }
    public var firings: UInt64 {
        get { 0 }
        set {}
    }
    public func settleText(halted: Bool) {}
    public func takeUndefined() -> [UndefinedInstruction] { [] }
    public var fatalUndefined: UndefinedInstruction? { nil }
    public var registers: String { "" }
    public var census: Census { Census() }
    public var savedBoard: BoardState? { nil }
    public func goOn(from state: BoardState) throws(BoardStateError) { throw BoardStateError("it cannot be restored") }
    public func trace(_ categories: TraceCategories) {}
}

extension PC: GuestPC {
    public var savedBoard: BoardState? { state }
    public func goOn(from state: BoardState) throws(BoardStateError) { try restore(state) }
}
