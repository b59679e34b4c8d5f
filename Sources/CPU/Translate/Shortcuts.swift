/// What translated code knows of the page that one of its memory operands met last: the software TLB without a look-up.
///
/// Each operand has a shortcut of its own, or shares one with few others, so that an access is one subtraction and one comparison with constants:
/// an address minus `page` of at most 4096 minus the operand's size lies on the page as a whole. A shortcut holds nothing that the TLB does not
/// hold: whatever makes an entry there stricter drops all shortcuts. Loads and stores have different ones.
struct Shortcut {
    /// Linear address of the page.
    var page: UInt64
    /// Host minus linear address.
    var addend: UInt

    /// For each privilege class.
    static let count = 64
    /// The stack's, for loads and for stores; from `first` on they are dealt out in turn.
    static let stackLoad = 0, stackStore = 1, first = 2
    /// No canonical address, nor one of 32 bits, lies there; one that does all the same gets a page of its own.
    static let nowhere: UInt64 = 0x5C3A_91E7_46D2_B000
}

extension Core {
    /// Between the end of `Transient` and the TLB.
    static let shortcutOffset = 0x2800
    /// One byte for each TLB entry: its page may be in a shortcut.
    static let shortcutMarks = jumpOffset + JumpEntry.entries * MemoryLayout<JumpEntry>.stride
    /// What `Shortcut.nowhere` leads to.
    static let blankOffset = shortcutMarks + 2 * TLBEntry.entries

    /// A TLB entry allows less than before.
    func dropShortcuts() {
        guard t.pointee.translating else { return }
        let blank = UInt(bitPattern: base + Core.blankOffset) &- UInt(truncatingIfNeeded: Shortcut.nowhere)
        (base + Core.shortcutOffset).assumingMemoryBound(to: Shortcut.self)
            .update(repeating: Shortcut(page: Shortcut.nowhere, addend: blank), count: 2 * Shortcut.count)
    }

    /// TLB entry `index` is about to hold another page.
    @inline(__always)
    func forgetShortcut(_ index: Int) {
        let mark = (base + Core.shortcutMarks).assumingMemoryBound(to: Bool.self) + index
        guard mark.pointee else { return }
        mark.pointee = false
        dropShortcuts()
    }

    // MARK: Returns

    /// Translated CALLs are calls of the host's, on a stack of their own: what lies on it is where translated RETs go. It must not be used once an
    /// address may lead elsewhere.
    @inline(__always)
    func forgetReturns() { t.pointee.returnStack = t.pointee.returnTop }
}
