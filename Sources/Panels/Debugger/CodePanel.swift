import Machine
import Terminal

/// Disassembly around a place.
struct CodePanel {
    let instructions: [DebugInstruction]
    let selector: UInt16
    let isRealLike: Bool
    let is64: Bool

    private static let byteColumns = 7

    func place(_ instruction: DebugInstruction) -> String {
        if is64 { return DebugText.hex(instruction.linear, 16) }
        return "\(DebugText.hex(UInt64(selector), 4)):\(DebugText.hex(instruction.offset, isRealLike ? 4 : 8))"
    }

    func lines(width: Int) -> [DebugLine] { instructions.map { line($0, width) } }

    private func line(_ instruction: DebugInstruction, _ width: Int) -> DebugLine {
        var line = DebugLine([])
        let mark = instruction.breakpoint.map { $0 >= 0 ? "●" : "○" } ?? " "
        line.add(mark, .debugBreakpoint)
        line.add(instruction.isCurrent ? "▸" : " ", .debugPC)
        line.add(place(instruction) + " ", .listKey)
        if width >= 64 {
            let shown = instruction.bytes.prefix(CodePanel.byteColumns).map { DebugText.hex(UInt64($0), 2) }.joined()
            line.add(DebugText.left(shown + (instruction.bytes.count > CodePanel.byteColumns ? "…" : ""), CodePanel.byteColumns * 2 + 1) + " ")
        }
        if let label = instruction.label { line.add(label + ": ", .debugSymbol) }
        line.add(instruction.text)
        if let target = instruction.target {
            line.add(target < instruction.linear ? " ↑" : " ↓", .debugSymbol)
        }
        if let isTaken = instruction.isTaken { line.add(isTaken ? " (will jump)" : " (will not jump)", .debugSymbol) }
        if let operand = instruction.operand {
            let value = operand.value.map { DebugText.hex($0, min(operand.bytes, 8) * 2) } ?? "no memory"
            line.add("  [\(DebugText.address(operand.linear))] = \(value)", .debugSymbol)
        }
        if instruction.isCurrent { line.role = .debugPC } else if let number = instruction.breakpoint, number >= 0 { line.role = .debugBreakpoint }
        return line
    }
}
