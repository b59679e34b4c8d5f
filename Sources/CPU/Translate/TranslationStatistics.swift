/// What the translator has done since power-on: for `--stats` and the panels.
public struct TranslationStatistics: Codable, Equatable, Sendable {
    /// Instructions that ran as host code, without an interpreter's handler.
    public var direct: UInt64 = 0
    /// Instructions that translated code left to the interpreter's handlers, one by one.
    public var handled: UInt64 = 0
    /// Blocks translated; those of them that were dropped because their code changed; blocks that are better interpreted.
    public var blocks: UInt64 = 0, dropped: UInt64 = 0, refused: UInt64 = 0
    /// Times that all code was dropped to make room.
    public var flushes: UInt64 = 0
    /// Bytes of code, and the room for it.
    public var codeBytes: UInt64 = 0, codeRoom: UInt64 = 0

    public init() {}

    enum CodingKeys: String, CodingKey {
        case direct, handled, blocks, dropped, refused, flushes
        case codeBytes = "code_bytes"
        case codeRoom = "code_room"
    }

    /// Of `retired` instructions the part that ran as host code, 0 to 1.
    public func share(of retired: UInt64) -> Double { retired == 0 ? 0 : min(Double(direct) / Double(retired), 1) }

    /// Adds another processor's.
    public static func + (a: TranslationStatistics, b: TranslationStatistics) -> TranslationStatistics {
        var sum = a
        sum.direct &+= b.direct
        sum.handled &+= b.handled
        sum.blocks &+= b.blocks
        sum.dropped &+= b.dropped
        sum.refused &+= b.refused
        sum.flushes &+= b.flushes
        sum.codeBytes &+= b.codeBytes
        sum.codeRoom &+= b.codeRoom
        return sum
    }
}

extension Processor {
    /// nil: this processor interprets everything.
    public var translationStatistics: TranslationStatistics? { translator?.statistics(core) }
}

extension Translator {
    func statistics(_ c: Core) -> TranslationStatistics {
        var now = counts
        now.handled = c.t.pointee.handled
        now.direct = translated &- min(translated, now.handled)
        (now.codeBytes, now.codeRoom) = (UInt64(area.usedBytes), UInt64(area.bytes))
        return now
    }
}
