import CPU
import Primitives

/// Where the board tells what it does, for logs and for what scrolls off the screen. No part of the machine: nothing that the guest
/// can notice depends on it, and no state of it is saved. Confined to the machine's thread.
public final class BoardTap {
    public let ring: TraceRing
    public var text = TextHistory()
    /// Somebody reads the events as they come: a slice must not write over those that were not read.
    public var isFollowed = false
    /// Number of the event at which the ring would be full for the reader.
    public var readUpTo: UInt64 = 0
    /// Accesses to register windows, A20 and the memory map are told of.
    var tellsMemory = false

    public init(ring: TraceRing) { self.ring = ring }

    func record(_ event: TraceEvent, at time: Nanoseconds, position: UInt64) {
        var event = event
        (event.time, event.position) = (time, position)
        ring.append(event)
    }

    /// The reader must have a turn before more is written.
    var isFull: Bool { isFollowed && ring.count &- readUpTo > UInt64(TraceRing.capacity * 3 / 4) }
}

extension Wires {
    /// One branch when nobody listens.
    @inline(__always)
    public func trace(_ category: TraceCategory, _ code: TraceCode, size: UInt16 = 0, place: UInt32 = 0, value: UInt64 = 0) {
        guard let tap else { return }
        tap.record(TraceEvent(category, code, size: size, place: place, value: value), at: now, position: position)
    }
}

/// Follows a text screen so that no line that scrolls off its top is lost.
///
/// Frames that are taken now and then would miss what scrolls between two of them. So the VGA gives its cells just before something
/// is done to them that can be a scroll: the first write to the top row after others were written, and a new start address. Between
/// two of these the screen has moved by some rows or not at all; by how many, comparing says, and where the rows are alike the way in which
/// the guest did it: copying a cell from `n` rows below, or moving the start address by `n` rows.
///
/// Not kept: what a guest scrolls inside its own buffer without showing it; a part of the screen that scrolls below a row that
/// stands; what is on the screen when it is cleared or the mode changes.
public struct TextHistory {
    public struct Screen: Equatable, Sendable {
        public var columns = 0, rows = 0
        /// `columns * rows`: character in bits 0–7, attribute in bits 8–15.
        public var cells: [UInt16] = []
        /// CRT controller's start address and row pitch, in cells.
        public var start = 0, pitch = 0
        public init() {}
    }

    /// Lines that scrolled off and were not taken yet, blanks at their ends cut.
    private var lines: [[UInt16]] = []
    /// Bytes written since the last look at the screen. A look is due at the earliest when a whole row may have changed.
    var written = 0
    /// The window's cell that was read last, nothing written since.
    var lastRead: Int?
    private var screen: Screen?
    /// Rows by which the guest copies, as the write that led to the last look had it.
    private var copying: Int?
    private var writtenAtSettle = 0

    public init() {}

    /// Waiting lines beyond this push the oldest out; more are not kept anyway.
    private static let limit = 10_000

    /// Takes a screen as it is before a write that may scroll it.
    /// - Parameter copying: the write copies a cell from so many rows below.
    mutating func look(_ new: Screen?, copying next: Int?) {
        defer {
            screen = new
            copying = next
            written = 0
            writtenAtSettle = 0
        }
        guard let new, let old = screen, old.columns == new.columns, old.rows == new.rows, new.rows > 1, new.rows <= 128 else { return }
        var hint = copying
        if new.start != old.start, new.pitch > 0, (new.start - old.start) % new.pitch == 0 { hint = (new.start - old.start) / new.pitch }
        let rows = TextHistory.scroll(from: old, to: new, hint: hint)
        for row in 0..<rows { keep(old, row) }
    }

    private mutating func keep(_ screen: Screen, _ row: Int) {
        var line = Array(screen.cells[row * screen.columns..<(row + 1) * screen.columns])
        while let last = line.last, TextHistory.isBlank(last) { line.removeLast() }
        if lines.count >= TextHistory.limit { lines.removeFirst(TextHistory.limit / 10) }
        lines.append(line)
    }

    /// A screen that nothing was written to since the last call is whole: lines that it pushed off are taken now, and not at the next
    /// scroll only.
    var wantsSettling: Bool { written > 0 && written == writtenAtSettle }
    mutating func markForSettling() { writtenAtSettle = written }

    public mutating func take() -> [[UInt16]] {
        guard !lines.isEmpty else { return [] }
        defer { lines.removeAll(keepingCapacity: true) }
        return lines
    }

    private static func isBlank(_ cell: UInt16) -> Bool {
        let character = UInt8(truncatingIfNeeded: cell)
        // Colours of a blank that is cut do not matter unless its background shows.
        return (character == 0x20 || character == 0) && cell >> 12 == 0
    }

    /// By how many rows the screen moved up between two looks; 0: it did not, or it shows something else.
    static func scroll(from old: Screen, to new: Screen, hint: Int?) -> Int {
        let allowed = max(1, new.rows / 8)
        // A start address that went back to the beginning of memory: the rows were copied there, all of them moved up.
        if new.start != old.start, hint.map({ !(1..<new.rows).contains($0) }) ?? true {
            for rows in 1..<new.rows {
                let (alike, different) = compare(old, new, rows)
                if different == 0, alike > 0 { return rows }
            }
        }
        if let hint, (1..<new.rows).contains(hint) {
            let (_, different) = compare(old, new, hint)
            if different <= allowed { return hint }
        }
        var best = (rows: 0, different: compare(old, new, 0).different)
        if best.different == 0 { return 0 }
        for rows in 1..<new.rows {
            let (alike, different) = compare(old, new, rows)
            // A few rows that happen to be alike are no scroll.
            guard different <= allowed, alike > 0, alike >= 3 || different == 0, different < best.different else { continue }
            best = (rows, different)
            if different == 0 { break }
        }
        return best.rows
    }

    /// How many rows are the same, blank ones left out, and how many differ, when the old screen is moved up.
    private static func compare(_ old: Screen, _ new: Screen, _ rows: Int) -> (alike: Int, different: Int) {
        let columns = new.columns
        guard old.cells.count >= columns * new.rows, new.cells.count >= columns * new.rows else { return (0, .max) }
        var alike = 0, different = 0
        old.cells.withUnsafeBufferPointer { old in
            new.cells.withUnsafeBufferPointer { new in
                for row in 0..<(new.count / columns - rows) {
                    var same = true, blank = true
                    for column in 0..<columns {
                        let cell = new[row * columns + column]
                        if cell != old[(row + rows) * columns + column] {
                            same = false
                            break
                        }
                        if blank, UInt8(truncatingIfNeeded: cell) & ~0x20 != 0 { blank = false }
                    }
                    if !same { different += 1 } else if !blank { alike += 1 }
                }
            }
        }
        return (alike, different)
    }
}
