"""The words that worker instances are named after (reference, section 2, "Background workers").

They are short, common and friendly, since they stand on dashboards and in log file names, and people read
them out to each other. Each is 3 to 6 letters a-z, so that a worker id needs no quoting anywhere.
"""

from __future__ import annotations

WORDS: tuple[str, ...] = tuple("""
abacus acorn acre adagio aerial album alcove alder alley alloy almond aloe alp alpaca alpha alpine
alto amber anchor animal anise annex anorak answer antler anvil apex apiary apple apron aqua
arable arbor arc arcade arch argon aroma array arrow artist ascent ash aspen aster astral astute
atlas atoll atom atrium attic auburn audio aura author autumn avenue avocet award awl awning axis
axle azalea azure badge badger bagel baker bakery ball ballad ballet balm balsa bamboo banana
banjo bank banyan barber bard bark barley barn barrel barrow basalt basil basin basket baton
batter bauble bay bayou bazaar beach beacon bead beagle beaker beanie bear beat bee beech beetle
beige belfry beluga bento beret berry beryl bevel bike binder bingo biome birch bird birdie bison
bisque blazer blimp bliss bloom blouse blue boat bobbin bobble bobcat bodega bolero bonbon bongo
bonsai book boot booth botany bottle bough bower bowl bowtie box brace braid branch brass bravo
bread breath breeze breezy briar bridge bridle bright brine brisk brogue bronco bronze brooch
brook broom broth browse brunch brush bubble bucket buckle buffet buggy bugle bugler bumble bun
bunny buoy burger burlap burrow bus bushel bustle butler butter button byte cabin cable cacao
cactus caddy cafe caftan cairn cake calico camel cameo camera camper canal canape canary candle
candor candy canine canoe canon canopy canter canto canvas canyon cap cape car carafe carbon card
career caret cargo carob carol carp carpet carrot cart carton cashew cask castle cat catsup caviar
cedar celery cell cellar cello cement cereal chair chaise chalet charm chart cheer cheese chef
cherry chess chest chick chili chilly chime chintz chip chisel chive choir chord chorus chrome
chute cicada cider cinder cinema circle circus citron citrus city civet clam classy clever cliff
climb clip clock cloth cloud clover clue clutch coach coast cobalt cobble cobweb cockle cocoa
cocoon coda coffee cogent coil coin collar collie color comb comedy comet conch condo condor cook
cookie cooler copper copse copy coral cord corgi cork corn corner cosine cosmos cotton county
coupon course cove cover cowrie coyote cozy crab cradle craft crag craggy crane cranny crate
crater crayon cream creek crepe crewel crib crisp crispy critic crocus croft crow crown cruise
crunch cubby cube cuckoo cue cumin cup cupola curl curler curlew curry cursor curve cutlet cutter
cyan cycle cygnet cymbal dabble dahlia dairy daisy damask damson dance dancer dandy dapper dapple
darner dawn day dazzle deer denim desert desk dew diadem dial dialog diary dice dill dimple diner
dinghy dingo dinner dish divan diver dobbin doily doll dollar domino donut doodle door dory dot
dotted dough downy dozen dragon drawer dream dress drift driver drowsy drum dryer duck duet duffel
duke dulcet dune durian dusk duster duvet dynamo eagle eaglet earth easel east easy ebony echo
eclair eddy editor effect egg egret eland elder elf elixir elk elm ember emblem empire enamel
encore endive energy entry epic epoch era eraser ermine essay expo eyelet fable fabled facade fair
fairy falcon family fancy farm farmer fathom faucet fauna fawn feast fedora felt fennel fern
ferret ferry fescue fest fete fiber fiddle fiesta fillet film finale finch fir fish fjord flag
flair flask flax flaxen fleece fleecy fleet flight flint floor flora floral florin floss flour
flow flower fluff flume flurry flute flyer foal focal focus foil folder folio folk fondly fondue
font forest forge fork forum fossil fox foyer frame fresco fresh fridge friend frieze fringe frisk
frog frolic frond frost fruit fudge funny fuse gable gadget gaggle gaiter gala galaxy gallop
galore gambol game gamma gannet gantry garden garlic garnet gate gazebo gear gecko gem genie
genius genre gentle geode gerbil geyser giant gibbon gift gill ginger ginkgo glad glade gladly
glass glaze gleam glen glider glint globe gloss glove glow glue gnome gnu goal goat goblet goggle
gold golden golf goose gopher gorge gouda gourd gown grace grain grape graph grass gravel gravy
gray grebe green grill groove grotto group grouse grove guava guest guide guild guitar gulch gulf
gull gully gum gumbo guppy gust gusto gutter gym gypsum haiku hall halo hamlet hammer handle
hangar hansom happy harbor hare harp harrow hat hatbox hatch haven hawk hay hazel heart hearth
hedge helium helix hello helmet hen herald herb herbal herd hero heron heyday hike hiker hill
hinge hint hippo hitch hither hive hobby hockey hoist holly home honest honey hook hoop hooray hop
horse hose hotel hound house hub hubcap huddle hue hula hummus husky hyphen ibex ice icecap icicle
icing icon igloo iguana impala indigo indoor ingot ink inkpad inland inlet inn insect iris iron
island isle islet ivory ivy jackal jacket jade jaguar jalopy jam jar jasmin jasper jay jazz jeans
jeep jelly jerboa jerkin jester jet jetsam jetty jewel jigsaw jive jockey joke jolly joy joyful
joyous jug juice jumble jumbo jungle junior junket kale karate kayak kazoo kebab keel keeper kelp
kelvin kennel kernel kettle khaki kilt kimchi kimono kindle kindly king kiosk kipper kit kite
kitten kiwi klaxon knack knight knit knob knoll knot koala koi lab lace ladder ladle lagoon lake
lamb lambda lamp lander lapel lapis laptop larch larder lariat lark laser lasso latte launch
laurel lava lawn leader leaf league leek legend legume lemon lemur lens lentil lesson lichen lilac
lily limber lime limpet linden line linen lineup linnet lintel lion lipid liquid litmus lively
lizard llama loaf loam lobby loch lock locket lodge lodger loft loom loquat lore lorry lotus loyal
lucky lumen lunar lunch lupine luster lute lyceum lynx lyre macaw macro madras magic magnet magpie
mail maize mallet mallow malt mango manor mantel mantis mantle map maple marble march margin
marina marker market marlin marmot maroon marsh marten marvel mascot mason matrix matte mauve
mayfly mayor meadow meal medlar medley mellow melody melon memory mentor meow merlin merry mesa
metal meteor metro mettle mezzo mica midair midway milk mill millet mimosa mingle mini minnow mint
minuet mirror mist mitten mixer mizzen moat mobile mocha model modem module mohair moon moose
morel mosaic moss motel motet moth motif motor motto mound mouse mousse mover movie muesli muffin
mug mulch mural muse museum music muskox muslin mussel myriad myrtle myth nacho napkin nature
nebula nectar needle neon nephew nest nestle net nettle news newt newton nib nickel nifty night
nimble nimbly nimbus noble noodle noon nori north notch nougat nova novel nuance nugget nutmeg
nylon oak oar oasis oat oblong oboe oboist ocean ocelot octane octave ohm okra olive omelet onion
onward onyx oolong opal opera optic opus orange orb orbit orchid oriole orzo osprey otter oval
oven owl oxbow oxide oxygen oyster ozone packet paddle paella page paint pair palace pallet palm
pampas pamper pan panda panel pantry papaya paper parade parcel park parka parlor parrot parsec
pasta pastel pastry path patina patio patty paw payday pea peach peahen peak peanut peapod pear
pearl pebble pecan pectin pedal peg pellet pen pencil penne penny peony pepper perch pesto petal
pewter phlox phone photo phrase piano picket pickle picnic pie pier pigeon piglet pike pillow
pilot pin pinata pinch pine pinion pink pint pinto pipe pipit pippin pistil piston pita pitch
pivot pixel pixie pizza plan planer planet plant play plaza plinth plover plucky plum plume plural
pocket pod podium poem poet poetry poise pole polish polka pollen polo pomade pomelo pommel poncho
pond pony poodle pool poplar poplin porch portal porter postal poster posy potato potion potter
pouch powder prawn price primer prince print prism prize prose proton prune puddle puff puffin
pullet pulley pulp pulsar pulse puma pumice pump pun pup pupil puppet puppy purple purr purse
puzzle pylon python quad quail quaint quark quarry quart quartz quasar quaver quay queen quest
quiche quick quiet quill quilt quince quiver quiz quota quote rabbit racer racket radar radial
radio radish radius rafter raglan ragout rail rain raisin ranch ranger raptor rattan raven ravine
ray razor realm reason recipe reed reef reel regal region relay relic relish rennet resin reward
rhino rhyme rhythm ribbon rice riddle rider ridge rim rind ring rink ripple river rivet road
roadie roan roast robe robin robot rock rocket rodeo roll roller roof rook room roost root rope
rose roster rosy rotor route rover rowan rowing rubber rubble ruby rudder rugby ruler rumba rune
runner runway russet rustic rustle rye sable sachet saddle safari saga sage sail sailor salad
salami salmon salon salsa salt salver samba sand sandal sash satin sauce saucer sauna saw scale
scarf scene scenic school scone scope scout screen scribe scroll scuba sea seal season sector
sedan seed selkie sensor sequel sequin sesame sextet shade shale shawl sheaf shed sheep shelf
shell shield shine shiny ship shirt shoal shoe shop shore shovel shower shrimp shrub siding sienna
sierra sieve sight signal silica silk silo silver simmer singer sister sitar skate skein ski skier
sky slalom slate sled sleepy sleet sleeve sleigh slice slide sloop slope slushy smile smock smooth
snack snail snappy snazzy snooze snow snug soap soccer sock socket soda sofa soft soil solace
solar solo sonar sonata song sonnet sorbet sorrel soup south soy space spark sphere sphinx spice
spinet spiral spline sponge spongy spoon sport spray sprig spring sprint sprite sprout spruce spry
squall square squash squid squire stable stack stair stamen stamp stand stanza staple star starch
starry steady steam steel stem steppe stereo stew stitch stone store stork storm story stove
strand straw streak stream stripe studio study style subway sudoku suede sugar suite summer summit
sun sundae sunhat sunlit sunny sunset supper surf sushi swamp swan sweet swift swim swirl switch
swivel symbol syrup tabby table tablet taco taffy tag tahini tailor tally talon tandem tango
tannin tapas tape tapir taro tassel taste tavern taxi tea teacup teak teal team teapot teaser
tempo tender tennis tenor tent tern thatch theme theory thorn thread thrift thrush thyme tiara
ticket tidal tidbit tide tidy tiger tile tiller timber tin tinder tinker tinsel tint tiptoe tire
title toad toast toffee toga token tomato tongs tonic tool topaz topic torch torque toucan tower
town toy track trade trail tram travel tray treble tree trek triad trio tripod trivet trophy trout
trowel truce truck trunk trust truth tub tuba tube tuffet tulip tuna tundra tune tuner tunic
tunnel turbo turf turnip turret turtle tutor tuxedo tweed twig twin twist umber umpire uncle unity
upbeat upland urchin vale valley valor valve van vapor vase vault vector veil vellum velour velvet
veneer vernal verse verve vest video villa vine vinyl viola violet violin vireo vista vogue voice
vole volley volume voyage wader wafer waffle wagon waiter wall wallet walnut walrus waltz warm
warmth wasabi washer watch water wave wax weave weaver west wharf wheat wheel whey whimsy whisk
whorl wick wicker wicket wide widget wig wigeon willow wind window winery wing winter wire wisdom
wisp wizard wok wolf wombat wonder woodsy woolly world woven wrap wreath wren wrench writer yacht
yak yard yarn yarrow yawl yeast yodel yoga yogurt yolk young yucca yurt zeal zebra zenith zephyr
zest zigzag zinc zinnia zip zipper zippy zither ziti zone zoo
""".split())
