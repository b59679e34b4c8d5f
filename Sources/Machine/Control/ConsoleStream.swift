import Foundation
import Hardware
import Primitives

/// A machine's view as JSON: whole for a new viewer, then only what changed.
///
/// A row of the screen is base64 of its cells, two bytes each, the character first.
struct ViewEncoder {
    private var sent: MachineView?

    /// nil: the viewer knows it all.
    mutating func update(_ view: MachineView) -> JSONValue? {
        let old = sent
        var new: [String: JSONValue] = [:]
        if old?.state != view.state { new["state"] = .string(view.state.rawValue) }
        if old?.keyboardLEDs != view.keyboardLEDs { new["leds"] = .integer(Int64(view.keyboardLEDs)) }
        if old?.mouseWanted != view.mouseWanted { new["mouse"] = .bool(view.mouseWanted) }
        if old?.typingLeft != view.typingLeft || old?.typingTotal != view.typingTotal {
            new["typing"] = [.integer(Int64(view.typingLeft)), .integer(Int64(view.typingTotal))]
        }
        if old?.media != view.media { new["media"] = ViewEncoder.media(view.media) }
        if old?.scrolled != view.scrolled { new["scrolled"] = .integer(Int64(clamping: view.scrolled)) }
        if old?.mips != view.mips { new["mips"] = .number(view.mips) }
        if let frame = ViewEncoder.frame(view.frame, since: old?.frame) { new["frame"] = frame }
        if old?.problem != view.problem { new["problem"] = view.problem.map { .string($0) } ?? .null }
        if old?.debugStop != view.debugStop { new["debug-stop"] = view.debugStop.flatMap { try? DebugWire.text($0) }.map { .string($0) } ?? .null }
        if (old?.palette ?? .theme) != view.palette { new["palette"] = .string(view.palette.rawValue) }
        if (old?.comesBack ?? false) != view.comesBack { new["comes-back"] = .bool(view.comesBack) }
        if old?.outcome != view.outcome, let outcome = view.outcome { new["outcome"] = outcome.json }
        guard !new.isEmpty else { return nil }
        new["generation"] = .integer(Int64(clamping: view.generation))
        new["instructions"] = .integer(Int64(clamping: view.instructions))
        new["guest-seconds"] = .number(view.guestSeconds)
        sent = view
        return .object(new)
    }

    static func media(_ media: [Bay: String]) -> JSONValue {
        .object(Dictionary(uniqueKeysWithValues: media.map { ("\($0.key)", .string($0.value)) }))
    }

    private static func frame(_ frame: TextFrame, since old: TextFrame?) -> JSONValue? {
        guard frame != old else { return nil }
        var new: [String: JSONValue] = [:]
        if old?.mode != frame.mode {
            switch frame.mode {
            case .text: new["mode"] = "text"
            case .blank: new["mode"] = "blank"
            case .graphics(let width, let height, let name):
                new["mode"] = ["width": .integer(Int64(width)), "height": .integer(Int64(height)), "name": .string(name)]
            }
        }
        let sameSize = old?.columns == frame.columns && old?.rows == frame.rows && old?.cells.count == frame.cells.count
        if !sameSize { new["size"] = [.integer(Int64(frame.columns)), .integer(Int64(frame.rows))] }
        if old?.cellWidth != frame.cellWidth || old?.cellHeight != frame.cellHeight {
            new["cell"] = [.integer(Int64(frame.cellWidth)), .integer(Int64(frame.cellHeight))]
        }
        let lines = changedRows(frame, since: sameSize ? old : nil)
        if !lines.isEmpty { new["rows"] = .object(lines) }
        if old?.cursor != frame.cursor {
            let cursor = frame.cursor
            new["cursor"] = [
                .integer(Int64(cursor.column)), .integer(Int64(cursor.row)), .integer(Int64(cursor.startLine)), .integer(Int64(cursor.endLine)),
                .bool(cursor.visible),
            ]
        }
        if old?.palette != frame.palette { new["palette"] = .array(frame.palette.map { .integer(Int64($0)) }) }
        if old?.blinkEnabled != frame.blinkEnabled { new["blink"] = .bool(frame.blinkEnabled) }
        if old?.secondFont != frame.secondFont { new["second-font"] = .bool(frame.secondFont) }
        if old?.fontIsStandard != frame.fontIsStandard || old?.fontGeneration != frame.fontGeneration {
            new["font"] = [.integer(Int64(frame.fontGeneration)), .bool(frame.fontIsStandard)]
        }
        if (old?.codePage ?? .cp437) != frame.codePage { new["charset"] = .string(frame.codePage.rawValue) }
        return .object(new)
    }

    private static func changedRows(_ frame: TextFrame, since old: TextFrame?) -> [String: JSONValue] {
        guard frame.columns > 0, frame.cells.count >= frame.columns * frame.rows else { return [:] }
        var rows: [String: JSONValue] = [:]
        for row in 0..<frame.rows {
            let range = row * frame.columns..<(row + 1) * frame.columns
            if let old, old.cells[range] == frame.cells[range] { continue }
            rows[String(row)] = .string(encode(frame.cells[range]))
        }
        return rows
    }

    static func encode(_ cells: some Sequence<UInt16>) -> String {
        var bytes: [UInt8] = []
        for cell in cells { bytes += [UInt8(truncatingIfNeeded: cell), UInt8(truncatingIfNeeded: cell >> 8)] }
        return Data(bytes).base64EncodedString()
    }

    /// nil: it is not base64, or not whole cells.
    static func decode(_ text: String, limit: Int) -> [UInt16]? {
        guard let bytes = Data(base64Encoded: text), bytes.count % 2 == 0, bytes.count <= 2 * limit else { return nil }
        return stride(from: 0, to: bytes.count, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
    }
}

extension MachineView {
    private static let sizes = 1...512

    /// Takes a change as `ViewEncoder` writes it. What makes no sense is passed over: the other end may be of another version.
    mutating func apply(_ change: JSONValue) {
        if let state = change["state"]?.string.flatMap(MachineState.init(rawValue:)) { self.state = state }
        if let leds = change["leds"]?.integer { keyboardLEDs = UInt8(clamping: leds) }
        if let mouse = change["mouse"]?.bool { mouseWanted = mouse }
        if let typing = change["typing"]?.array?.compactMap(\.integer), typing.count == 2 {
            (typingLeft, typingTotal) = (Int(max(0, typing[0])), Int(max(0, typing[1])))
        }
        if let media = change["media"]?.object {
            self.media = [:]
            for (name, path) in media { if let bay = Bay.named(name), let path = path.string { self.media[bay] = path } }
        }
        if let scrolled = change["scrolled"]?.integer { self.scrolled = UInt64(max(0, scrolled)) }
        if let mips = change["mips"]?.double { self.mips = mips }
        if let generation = change["generation"]?.integer { self.generation = UInt64(max(0, generation)) }
        if let instructions = change["instructions"]?.integer { self.instructions = UInt64(max(0, instructions)) }
        if let seconds = change["guest-seconds"]?.double { guestSeconds = seconds }
        if let frame = change["frame"] { self.frame.apply(frame, sizes: MachineView.sizes) }
        if let problem = change["problem"] { self.problem = problem.string }
        if let stop = change["debug-stop"] { debugStop = stop.string.flatMap { try? DebugWire.value($0) } }
        if let palette = change["palette"]?.string { self.palette = RunSettings.Palette(rawValue: palette) ?? self.palette }
        if let comesBack = change["comes-back"]?.bool { self.comesBack = comesBack }
        if let outcome = change["outcome"] { self.outcome = RunOutcome(outcome) }
    }
}

extension TextFrame {
    fileprivate mutating func apply(_ change: JSONValue, sizes: ClosedRange<Int>) {
        switch change["mode"] {
        case .string("text"): mode = .text
        case .string("blank"): mode = .blank
        case .object(let graphics)?:
            mode = .graphics(
                width: Int(clamping: graphics["width"]?.integer ?? 0), height: Int(clamping: graphics["height"]?.integer ?? 0),
                name: graphics["name"]?.string ?? "")
        default: break
        }
        if let size = change["size"]?.array?.compactMap(\.integer), size.count == 2, sizes.contains(Int(clamping: size[0])),
            sizes.contains(Int(clamping: size[1]))
        {
            (columns, rows) = (Int(size[0]), Int(size[1]))
            cells = [UInt16](repeating: 0x0720, count: columns * rows)
        }
        if let cell = change["cell"]?.array?.compactMap(\.integer), cell.count == 2 {
            (cellWidth, cellHeight) = (Int(max(1, min(cell[0], 64))), Int(max(1, min(cell[1], 64))))
        }
        for (number, text) in change["rows"]?.object ?? [:] {
            guard let row = Int(number), (0..<rows).contains(row), cells.count == columns * rows,
                let line = text.string.flatMap({ ViewEncoder.decode($0, limit: columns) }), line.count == columns
            else { continue }
            cells.replaceSubrange(row * columns..<(row + 1) * columns, with: line)
        }
        if let cursor = change["cursor"]?.array, cursor.count == 5 {
            let numbers = cursor[..<4].map { Int(max(0, min($0.integer ?? 0, 4096))) }
            (self.cursor.column, self.cursor.row, self.cursor.startLine, self.cursor.endLine) = (numbers[0], numbers[1], numbers[2], numbers[3])
            self.cursor.visible = cursor[4].bool ?? false
        }
        if let palette = change["palette"]?.array?.compactMap(\.integer), palette.count == 16 {
            self.palette = palette.map { UInt32(truncatingIfNeeded: $0) & 0xFF_FFFF }
        }
        if let name = change["charset"]?.string { codePage = CodePage(rawValue: name) ?? codePage }
        if let blink = change["blink"]?.bool { blinkEnabled = blink }
        if let second = change["second-font"]?.bool { secondFont = second }
        if let font = change["font"]?.array, font.count == 2 {
            fontGeneration = UInt32(truncatingIfNeeded: font[0].integer ?? 0)
            fontIsStandard = font[1].bool ?? true
        }
    }
}

extension RunOutcome {
    var json: JSONValue { ["word": .string(word), "status": .integer(Int64(exitStatus)), "text": .string(message ?? "")] }

    /// As `json` has it; what is not known is a failure.
    init(_ json: JSONValue) {
        let status = Int32(truncatingIfNeeded: json["status"]?.integer ?? 1), text = json["text"]?.string ?? ""
        switch json["word"]?.string {
        case RunOutcome.poweredOff.word: self = .poweredOff
        case RunOutcome.poweredOffByUser.word: self = .poweredOffByUser
        case RunOutcome.debugExit(0).word: self = .debugExit(UInt8(truncatingIfNeeded: status))
        case RunOutcome.resetWithNoReboot.word: self = .resetWithNoReboot
        case RunOutcome.scriptStopped.word: self = .scriptStopped
        case RunOutcome.saved.word: self = .saved
        case RunOutcome.scriptFailed("").word: self = .scriptFailed(text)
        case RunOutcome.instructionLimit.word: self = .instructionLimit
        case RunOutcome.timeout.word: self = .timeout
        case RunOutcome.guru("").word: self = .guru(text.replacing("Guru Meditation: ", with: ""))
        case RunOutcome.refused("").word: self = .refused(text)
        default: self = .failed(text.isEmpty ? "The machine ended in a way that is not known here." : text)
        }
    }
}
